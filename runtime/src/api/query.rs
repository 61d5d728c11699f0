//! Query strings and filters as Docker's clients write them. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::route::decode;

/// The parameters of a request; the last one wins.
#[derive(Debug, Clone, Default)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// Parses what follows the question mark.
    pub fn parse(text: Option<&str>) -> Query {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let unfold = |part: &str| decode(&part.replace('+', " "));
        Query(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (unfold(key), unfold(value)))
                .collect(),
        )
    }

    /// A parameter; `None` when absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A parameter that is not empty.
    pub fn filled(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// A boolean, by Docker's rule: empty, `0`, `no`, `false` and `none` are false.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(is_true)
    }

    /// A number.
    ///
    /// # Errors
    /// It is there but no number; the text is for the client.
    pub fn number(&self, key: &str) -> Result<Option<i64>, String> {
        match self.filled(key) {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| format!("invalid value for {key}: {text:?}")),
        }
    }
}

fn is_true(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
}

/// Filters: values of one key are alternatives, but labels must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Parses `{"label":{"a=b":true}}` and `{"label":["a=b"]}`; refuses keys that are not `known`.
    ///
    /// # Errors
    /// It is no such JSON, or a key is unknown; the text is for the client.
    pub fn parse(text: Option<&str>, known: &[&str]) -> Result<Filters, String> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(Filters::default());
        };
        let invalid = || "invalid filter".to_owned();
        let Ok(Value::Object(map)) = serde_json::from_str(text) else {
            return Err(invalid());
        };
        let mut filters = BTreeMap::new();
        for (key, values) in map {
            if !known.contains(&key.as_str()) {
                return Err(format!("invalid filter '{key}'"));
            }
            let values = match values {
                Value::Object(set) => {
                    let set = set.into_iter().filter(|(_, on)| on != &Value::Bool(false));
                    set.map(|(value, _)| value).collect()
                }
                Value::Array(list) => list
                    .into_iter()
                    .map(|value| value.as_str().map(str::to_owned).ok_or_else(invalid))
                    .collect::<Result<_, _>>()?,
                _ => return Err(invalid()),
            };
            filters.insert(key, values);
        }
        Ok(Filters(filters))
    }

    /// The values of a key; none when it was not given.
    pub fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether the key was not given, or one of its values satisfies `test`.
    pub fn any(&self, key: &str, test: impl Fn(&str) -> bool) -> bool {
        let values = self.values(key);
        values.is_empty() || values.iter().any(|value| test(value))
    }

    /// Whether all values of `label` are among `labels`: `key` or `key=value`.
    pub fn labels_match(&self, labels: &BTreeMap<String, String>) -> bool {
        self.values("label").iter().all(|wanted| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|have| have == value),
            None => labels.contains_key(wanted),
        })
    }
}

/// Matches a name by Docker's `name` filter: a pattern with `^`, `$`, `.*` and `*`, found anywhere.
/// (Docker takes any regular expression; these are the ones its clients send.)
pub fn name_matches(pattern: &str, name: &str) -> bool {
    let anchored_start = pattern.starts_with('^');
    let anchored_end = pattern.ends_with('$');
    let core = pattern.trim_start_matches('^').trim_end_matches('$');
    let core = core.replace(".*", "*").replace("\\", "");
    let core = core.strip_prefix('/').unwrap_or(&core);
    let mut glob = String::new();
    if !anchored_start {
        glob.push('*');
    }
    glob.push_str(core);
    if !anchored_end {
        glob.push('*');
    }
    glob_matches(&glob, name)
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else {
        return text.is_empty();
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = rest.get(at.saturating_add(part.len())..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let query = Query::parse(Some("all=1&name=%2Fweb&t=10&empty=&f=no&x=a+b"));
        assert!(query.flag("all") && !query.flag("f") && !query.flag("empty"));
        assert_eq!(query.get("name"), Some("/web"));
        assert_eq!(query.number("t"), Ok(Some(10)));
        assert_eq!(query.number("empty"), Ok(None));
        assert!(query.number("x").is_err());
        assert_eq!(query.get("x"), Some("a b"));
    }

    #[test]
    fn both_shapes_of_filters() {
        for text in [r#"{"label":{"a=b":true,"c=d":false}}"#, r#"{"label":["a=b"]}"#] {
            let filters = Filters::parse(Some(text), &["label"]).unwrap();
            assert_eq!(filters.values("label"), ["a=b"], "{text}");
        }
        for bad in ["[]", "x", r#"{"label":1}"#, r#"{"label":[1]}"#, r#"{"other":["x"]}"#] {
            assert!(Filters::parse(Some(bad), &["label"]).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_must_all_hold() {
        let labels: BTreeMap<_, _> = [("a".to_owned(), "b".to_owned())].into();
        let holds = |text| Filters::parse(Some(text), &["label"]).unwrap().labels_match(&labels);
        assert!(holds(r#"{"label":["a=b","a"]}"#));
        assert!(!holds(r#"{"label":["a=b","c"]}"#));
        assert!(!holds(r#"{"label":["a="]}"#));
    }

    #[test]
    fn names_by_pattern() {
        let table = [
            ("web", "my-web-1", true),
            ("^web$", "web", true),
            ("^web$", "web1", false),
            ("^/web$", "web", true),
            ("^web", "aweb", false),
            ("w.*b", "xwxxbx", true),
            ("db", "web", false),
        ];
        for (pattern, name, want) in table {
            assert_eq!(name_matches(pattern, name), want, "{pattern} {name}");
        }
    }
}
