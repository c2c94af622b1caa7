//! Documents and what is said about them.

mod codes;
mod in_force;
mod schema;
mod warnings;

use super::load::{File, Loaded, load};
use crate::host::NoHost;

/// A file that can be trusted.
fn file(name: &str, text: &str) -> File {
    File { name: name.to_owned(), content: text.as_bytes().to_vec(), distrust: None }
}

fn loaded(texts: &[&str]) -> Loaded {
    let name = |index: usize| format!("{index}.yaml");
    load(texts.iter().enumerate().map(|(index, text)| file(&name(index), text)).collect(), &NoHost)
}

/// `E021 14:9-14:14 spec.levels[0].fields.mount`, with the file in front where there are several.
fn found(texts: &[&str]) -> Vec<String> {
    let loaded = loaded(texts);
    let list = loaded.diagnostics.list().iter();
    list.map(|d| {
        let file =
            if texts.len() > 1 { format!("{}:", loaded.sources.name(d.span.file)) } else { String::new() };
        format!("{} {file}{}-{} {}", d.code, d.span.start, d.span.end, d.path)
    })
    .collect()
}

/// Texts, and what is said about them.
fn check(cases: impl IntoIterator<Item = (String, &'static [&'static str])>) {
    let wrong = |(text, expect): (String, &[&str])| {
        let found = found(&[&text]);
        (found != expect).then(|| format!("{text}\n found {found:#?}\nexpect {expect:#?}\n"))
    };
    let wrong: Vec<String> = cases.into_iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A policy with this `spec`, whose first line is line 4, indented by 2.
fn policy(spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {{name: p}}\nspec:\n{spec}")
}
