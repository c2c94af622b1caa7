//! The table `[default-validator]` (`spec/adaptation.md` 11).

use nri_runtime::validate::DefaultValidator;
use nri_wire::name::PluginName;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// Its content. The keys are those of containerd's `default_validator`, which may be pasted as they are.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Validator {
    /// `false` switches the table off. Who writes the table wants it, so unlike in the reference it is on without this key.
    enable: Option<bool>,
    #[serde(alias = "reject_oci_hook_adjustment")]
    reject_oci_hook_adjustment: bool,
    #[serde(alias = "reject_runtime_default_seccomp_adjustment")]
    reject_runtime_default_seccomp_adjustment: bool,
    #[serde(alias = "reject_unconfined_seccomp_adjustment")]
    reject_unconfined_seccomp_adjustment: bool,
    #[serde(alias = "reject_custom_seccomp_adjustment")]
    reject_custom_seccomp_adjustment: bool,
    #[serde(alias = "reject_namespace_adjustment")]
    reject_namespace_adjustment: bool,
    #[serde(alias = "reject_sysctl_adjustment")]
    reject_sysctl_adjustment: bool,
    #[serde(alias = "required_plugins", deserialize_with = "plugins")]
    required_plugins: Vec<String>,
    #[serde(alias = "tolerate_missing_plugins_annotation")]
    tolerate_missing_plugins_annotation: String,
}

fn plugins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    match names.iter().find(|name| PluginName::new("00", name).is_err()) {
        Some(name) => Err(D::Error::custom(format!(
            "invalid plugin {name:?}: a plugin's name is expected, with or without its index"
        ))),
        None => Ok(names),
    }
}

impl From<Validator> for DefaultValidator {
    /// A table that is switched off is none. What pods ask for by annotation holds also then.
    fn from(table: Validator) -> Self {
        if table.enable == Some(false) {
            return Self::default();
        }
        Self {
            reject_hooks: table.reject_oci_hook_adjustment,
            reject_runtime_default_seccomp: table.reject_runtime_default_seccomp_adjustment,
            reject_unconfined_seccomp: table.reject_unconfined_seccomp_adjustment,
            reject_custom_seccomp: table.reject_custom_seccomp_adjustment,
            reject_namespaces: table.reject_namespace_adjustment,
            reject_sysctl: table.reject_sysctl_adjustment,
            required_plugins: table.required_plugins,
            tolerate_missing_annotation: table.tolerate_missing_plugins_annotation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::Run;
    use super::super::{Command, parse};
    use super::*;

    fn read(text: &str) -> DefaultValidator {
        parse::<Run>(text, "f", Command::Adjust).unwrap().default_validator.into()
    }

    /// As `containerd config default` and the reference's documentation write it.
    #[test]
    fn both_spellings() {
        let snake = r#"
            [default_validator]
            enable = true
            reject_oci_hook_adjustment = true
            reject_runtime_default_seccomp_adjustment = true
            reject_unconfined_seccomp_adjustment = true
            reject_custom_seccomp_adjustment = true
            reject_namespace_adjustment = true
            reject_sysctl_adjustment = true
            required_plugins = ["a", "10-b"]
            tolerate_missing_plugins_annotation = "tolerate"
        "#;
        let kebab = snake.replace('_', "-");
        let expect = DefaultValidator {
            reject_hooks: true,
            reject_runtime_default_seccomp: true,
            reject_unconfined_seccomp: true,
            reject_custom_seccomp: true,
            reject_namespaces: true,
            reject_sysctl: true,
            required_plugins: vec!["a".to_owned(), "10-b".to_owned()],
            tolerate_missing_annotation: "tolerate".to_owned(),
        };
        assert_eq!(read(snake), expect);
        assert_eq!(read(&kebab), expect);
        assert_eq!(read(&kebab.replace("enable = true", "")), expect, "on unless it says otherwise");
        assert_eq!(read(&kebab.replace("enable = true", "enable = false")), DefaultValidator::default());
        assert_eq!(read("[default-validator]"), DefaultValidator::default());
    }

    #[test]
    fn each_key_is_its_own() {
        type Get = fn(&DefaultValidator) -> bool;
        let keys: [(&str, Get); 6] = [
            ("reject-oci-hook-adjustment", |v| v.reject_hooks),
            ("reject-runtime-default-seccomp-adjustment", |v| v.reject_runtime_default_seccomp),
            ("reject-unconfined-seccomp-adjustment", |v| v.reject_unconfined_seccomp),
            ("reject-custom-seccomp-adjustment", |v| v.reject_custom_seccomp),
            ("reject-namespace-adjustment", |v| v.reject_namespaces),
            ("reject-sysctl-adjustment", |v| v.reject_sysctl),
        ];
        for (key, _) in keys {
            let options = read(&format!("[default-validator]\n{key} = true\n"));
            for (other, get) in keys {
                assert_eq!(get(&options), other == key, "{key}: {other}");
            }
        }
    }

    #[test]
    fn what_is_wrong() {
        for (text, expect) in [
            ("reject-everything = true", "f:2:1: unknown field `reject-everything`"),
            ("enable = 1", "f:2:10: invalid type: integer `1`, expected a boolean"),
            ("required-plugins = \"a\"", "f:2:20: invalid type: string \"a\", expected a sequence"),
            ("required-plugins = [\"a b\"]", "f:2:20: invalid plugin \"a b\""),
            ("required-plugins = [\"\"]", "f:2:20: invalid plugin \"\""),
            ("required-plugins = []\nrequired_plugins = []", "f:1:1: duplicate field `required-plugins`"),
        ] {
            let text = format!("[default-validator]\n{text}\n");
            let message = parse::<Run>(&text, "f", Command::Run).unwrap_err().to_string();
            assert!(message.starts_with(expect), "{message}");
        }
    }
}
