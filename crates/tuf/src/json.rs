//! JSON as signed metadata uses it: one canonical form over which signatures and key ids are computed (OLPC's, as
//! securesystemslib writes it), and a strict reader for what comes from outside.
//!
//! Canonical: members sorted by name, no blanks, integers only, strings in UTF-8 with nothing escaped but `"` and `\`.
//! The reader refuses what two readers could understand differently: a member that is there twice, a number that is not
//! an integer.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A value that canonical JSON cannot express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signed metadata holds no fractions, but {number} is one; write an integer or a string")]
pub struct NotCanonical {
    /// The number as JSON writes it.
    pub number: String,
}

/// The canonical form of a value.
///
/// # Errors
/// A number that is not an integer of 64 bits.
pub fn canonical(value: &Value) -> Result<Vec<u8>, NotCanonical> {
    let mut out = Vec::new();
    write_value(value, &mut out)?;
    Ok(out)
}

fn write_value(value: &Value, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::Number(number) if number.is_f64() => {
            let number = number.to_string();
            return Err(NotCanonical { number });
        }
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => write_list(items, out)?,
        Value::Object(members) => write_members(members, out)?,
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn write_list(items: &[Value], out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_value(item, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_members(members: &Map<String, Value>, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    out.push(b'{');
    for (at, (name, value)) in sorted.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        write_value(value, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Reads JSON strictly.
///
/// # Errors
/// No JSON, a member that is there twice, a number that is not an integer of 64 bits, more than 128 levels.
pub fn parse(data: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(data).map(|Strict(value)| value)
}

/// A value read strictly.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without fractions")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Strict(value))) = object.next_entry::<String, Strict>()? {
            if members.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format_args!("the member {name:?} is there twice")));
            }
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_sorted_and_only_two_characters_escaped() {
        let cases = [
            (
                json!({"b": 1, "a": [true, null, -2]}),
                r#"{"a":[true,null,-2],"b":1}"#.to_owned(),
            ),
            (json!("\"\\\u{7f}é/\n"), "\"\\\"\\\\\u{7f}é/\n\"".to_owned()),
            (
                json!({"Z": {}, "a": [], "é": u64::MAX}),
                r#"{"Z":{},"a":[],"é":18446744073709551615}"#.to_owned(),
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(canonical(&value).unwrap(), expected.as_bytes(), "{value}");
        }
        assert_eq!(canonical(&json!([1.5])).unwrap_err().number, "1.5");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (text, word) in [
            (r#"{"a": 1, "b": {"c": 1, "c": 2}}"#, "\"c\" is there twice"),
            ("[1.0]", "floating point"),
            ("[1e3]", "floating point"),
            ("18446744073709551616", "floating point"),
            ("-0", "floating point"),
            ("{} {}", "trailing"),
            ("", "EOF"),
            ("\u{feff}{}", "expected value"),
            ("NaN", "expected"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        let deep = "[".repeat(200);
        assert!(parse(deep.as_bytes()).is_err());
    }

    /// Any value without fractions; strings without the control characters that canonical JSON leaves bare.
    fn values() -> impl Strategy<Value = Value> {
        let text = "[^\u{0}-\u{1f}]{0,8}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(text, inner, 0..6)
                    .prop_map(|members| Value::from(members.into_iter().rev().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_json_is_read_as_the_same_value_and_written_the_same_again(value in values()) {
            let written = canonical(&value).unwrap();
            let read = parse(&written).unwrap();
            prop_assert_eq!(&read, &value);
            prop_assert_eq!(canonical(&read).unwrap(), written.clone());
            let pretty = serde_json::to_vec_pretty(&value).unwrap();
            prop_assert_eq!(canonical(&parse(&pretty).unwrap()).unwrap(), written);
        }
    }
}
