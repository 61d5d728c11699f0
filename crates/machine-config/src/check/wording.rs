//! Words for types: what a key takes, what stands there instead, and how to mend it.

use toml::Spanned;
use toml::de::DeValue;

use crate::schema::Kind;

pub(super) fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Table | Kind::Map(_) => "a table",
        Kind::Tables => "a list of tables",
        Kind::Text(_) | Kind::Word(_) | Kind::SecretText => "a string",
        Kind::Texts(_) | Kind::Words(_) => "a list of strings",
        Kind::Flag => "true or false",
        Kind::Integer(..) => "a whole number",
        Kind::Processors => "a number",
        Kind::TextOrSecret => "a string or { secret = \"NAME\" }",
    }
}

pub(super) fn article(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn cure_for(wanted: &str, value: &DeValue<'_>) -> &'static str {
    match (wanted, value) {
        ("a list of strings", DeValue::String(_)) => "put it between [ and ]",
        ("a list of tables", _) => "write a list of tables, [{ … }]",
        ("true or false" | "a whole number" | "a number", DeValue::String(_)) => "leave the quotes out",
        ("a table", _) => "write { … }",
        (text, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_))
            if text.starts_with("a string") =>
        {
            "put it between double quotes"
        }
        (text, DeValue::Array(_)) if text.starts_with("a string") => "write one string, not a list",
        ("a list of strings", _) => "write a list of strings, [\"…\"]",
        ("true or false", _) => "write true or false",
        ("a whole number" | "a number", _) => "write digits without quotes",
        _ => "write it between double quotes",
    }
}
