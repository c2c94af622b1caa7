//! Reads the text format of OpenMetrics 1.0 strictly, and says what is wrong with it: an oracle for what we serve.

use std::collections::{BTreeMap, BTreeSet};

/// All samples of a text, by name and labels as they stand there: `nri_requests_total{operation="x",result="ok"}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    values: BTreeMap<String, f64>,
    labels: BTreeSet<String>,
    kinds: BTreeMap<String, String>,
}

impl Samples {
    /// Reads a text.
    ///
    /// # Errors
    /// The line that breaks a rule, and which.
    pub fn read(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF")?;
        let (mut samples, mut family, mut done) = (Self::default(), Family::default(), BTreeSet::new());
        for line in body.lines() {
            let wrong = |what: &str| format!("{line:?}: {what}");
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (Some(word), Some(name), Some(value)) = (words.next(), words.next(), words.next()) else {
                    return Err(wrong("three words are expected"));
                };
                if name != family.name {
                    done.insert(std::mem::take(&mut family).end()?);
                    if done.contains(name) {
                        return Err(wrong("the family comes in two places"));
                    }
                    name.clone_into(&mut family.name);
                }
                if !family.series.is_empty() {
                    return Err(wrong("it comes after samples"));
                }
                family.describe(word, value).map_err(|what| wrong(&what))?;
                if word == "TYPE" {
                    samples.kinds.insert(name.to_owned(), value.to_owned());
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').ok_or_else(|| wrong("it has no value"))?;
            let value: f64 = value.parse().map_err(|_| wrong("the value is no number"))?;
            let labels = family.sample(series, value).map_err(|what| wrong(&what))?;
            samples.labels.extend(labels);
            if samples.values.insert(series.to_owned(), value).is_some() {
                return Err(wrong("it is there twice"));
            }
        }
        family.end()?;
        Ok(samples)
    }

    /// The value of a sample. Labels in the order in which they were written.
    #[must_use]
    pub fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    /// The names of all labels.
    #[must_use]
    pub fn labels(&self) -> &BTreeSet<String> {
        &self.labels
    }

    /// The families with their types.
    #[must_use]
    pub fn kinds(&self) -> &BTreeMap<String, String> {
        &self.kinds
    }
}

/// The family that is being read.
#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: String,
    help: String,
    series: BTreeSet<String>,
    /// Of histograms: the buckets of each set of labels, and its count.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
    counts: BTreeMap<String, f64>,
}

impl Family {
    fn describe(&mut self, word: &str, value: &str) -> Result<(), String> {
        match word {
            "HELP" if self.help.is_empty() => value.clone_into(&mut self.help),
            "TYPE" if self.kind.is_empty() && ["counter", "gauge", "histogram"].contains(&value) => {
                value.clone_into(&mut self.kind);
            }
            "UNIT" if self.name.ends_with(&format!("_{value}")) => {}
            "UNIT" => return Err("the name does not end with its unit".to_owned()),
            _ => return Err("it is unknown or there twice".to_owned()),
        }
        Ok(())
    }

    /// Gives the names of the labels.
    fn sample(&mut self, series: &str, value: f64) -> Result<Vec<String>, String> {
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, read_labels(rest)?),
            None => (series, Vec::new()),
        };
        let suffix = name.strip_prefix(&self.name).ok_or("it is not of the family above")?;
        let allowed: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => return Err("its family has no type".to_owned()),
        };
        if !allowed.contains(&suffix) {
            return Err(format!("a {} has no {suffix:?}", self.kind));
        }
        if self.kind != "gauge" && (value < 0.0 || !value.is_finite()) {
            return Err("it cannot have this value".to_owned());
        }
        let bound = labels.iter().find(|(name, _)| name == "le").map(|(_, value)| value.clone());
        let rest: Vec<String> = labels
            .iter()
            .filter(|(name, _)| name != "le")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        match (suffix, bound) {
            ("_bucket", Some(bound)) => {
                let bound = if bound == "+Inf" { Ok(f64::INFINITY) } else { bound.parse::<f64>() };
                let bound = bound.map_err(|_| "le is no number".to_owned())?;
                self.buckets.entry(rest.join(",")).or_default().push((bound, value));
            }
            ("_bucket", None) => return Err("a bucket needs le".to_owned()),
            (_, Some(_)) => return Err("only buckets have le".to_owned()),
            ("_count", None) => {
                self.counts.insert(rest.join(","), value);
            }
            _ => {}
        }
        self.series.insert(series.to_owned());
        Ok(labels.into_iter().map(|(name, _)| name).collect())
    }

    /// Gives its name. What only the whole family shows is checked here.
    fn end(self) -> Result<String, String> {
        let wrong = |what: &str| Err(format!("family {}: {what}", self.name));
        if !self.name.is_empty() && (self.kind.is_empty() || self.help.is_empty() || self.series.is_empty()) {
            return wrong("it lacks its type, its help, or samples");
        }
        for (labels, buckets) in &self.buckets {
            if !buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) {
                return wrong("buckets do not rise");
            }
            match buckets.last() {
                Some((bound, count)) if bound.is_infinite() && self.counts.get(labels) == Some(count) => {}
                _ => return wrong("the last bucket is not +Inf with the count of all"),
            }
        }
        Ok(self.name)
    }
}

/// `a="x",b="y"}` as pairs.
fn read_labels(mut rest: &str) -> Result<Vec<(String, String)>, String> {
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label has no value")?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            return Err(format!("{name:?} is no name of a label"));
        }
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().ok_or("a label does not end")? {
                (at, '"') => break at,
                (_, '\\') => match chars.next() {
                    Some((_, c @ ('\\' | '"' | 'n'))) => value.push(c),
                    _ => return Err("a wrong escape".to_owned()),
                },
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        match after.get(end + 1..) {
            Some("}") => return Ok(labels),
            Some(more) if more.starts_with(',') => rest = more.get(1..).unwrap_or_default(),
            _ => return Err("labels do not end".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTOGRAM: &str = "# HELP h Help.\n# TYPE h histogram\nh_sum{a=\"x\"} 0.5\nh_count{a=\"x\"} 2\n\
        h_bucket{le=\"1.0\",a=\"x\"} 1\nh_bucket{le=\"+Inf\",a=\"x\"} 2\n";

    #[test]
    fn what_is_right() {
        let text = format!(
            "# HELP c Help.\n# TYPE c counter\nc_total{{a=\"\\\"\",b=\"y\"}} 3\n# HELP g_seconds Help.\n\
             # TYPE g_seconds gauge\n# UNIT g_seconds seconds\ng_seconds -1\n{HISTOGRAM}# EOF\n"
        );
        let samples = Samples::read(&text).unwrap();
        assert_eq!(samples.value("c_total{a=\"\\\"\",b=\"y\"}"), Some(3.0));
        assert_eq!(samples.value("g_seconds"), Some(-1.0));
        assert_eq!(samples.labels().iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "le"]);
    }

    #[test]
    fn what_is_wrong() {
        for (text, expect) in [
            ("# HELP c Help.\n# TYPE c counter\nc_total 3\n", "does not end with # EOF"),
            ("# HELP c Help.\n# TYPE c counter\nc 3\n# EOF\n", "a counter has no \"\""),
            ("# HELP c Help.\n# TYPE c counter\nc_total -3\n# EOF\n", "cannot have this value"),
            ("# HELP c Help.\n# TYPE c counter\nc_total 3\nc_total 4\n# EOF\n", "twice"),
            (
                "# HELP c Help.\n# TYPE c counter\n# UNIT c seconds\nc_total 3\n# EOF\n",
                "does not end with its unit",
            ),
            ("# TYPE c counter\nc_total 3\n# EOF\n", "lacks its type, its help"),
            ("# HELP c Help.\n# TYPE c counter\n# EOF\n", "or samples"),
            ("# HELP c Help.\n# TYPE c gauge\nd 3\n# EOF\n", "not of the family above"),
            ("# HELP c Help.\n# TYPE c gauge\nc{a=x} 3\n# EOF\n", "a label has no value"),
            (
                &format!("{HISTOGRAM}# EOF\n").replace("+Inf\",a=\"x\"} 2", "+Inf\",a=\"x\"} 3"),
                "the count of all",
            ),
            (&format!("{HISTOGRAM}# EOF\n").replace("a=\"x\"} 1", "a=\"x\"} 4"), "do not rise"),
            (&format!("{HISTOGRAM}# HELP g H.\n# TYPE g gauge\ng 1\n{HISTOGRAM}# EOF\n"), "two places"),
        ] {
            let said = Samples::read(text).unwrap_err();
            assert!(said.contains(expect), "{said}\n{text}");
        }
    }
}
