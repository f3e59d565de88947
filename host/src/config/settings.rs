//! The `settings` of a plugin: any table, handed to the plugin as JSON (RFC 8259).

use serde_json::{Map, Number, Value};
use toml::de::DeValue;

use super::field::{Field, integer};

/// A table as JSON text. Date-times become strings; infinities and NaN have no place in JSON.
pub(super) fn to_json(field: &Field<'_>) -> Option<String> {
    object(field).map(|settings| settings.to_string())
}

fn object(field: &Field<'_>) -> Option<Value> {
    // All members are looked at before the first failure counts: each may have an error of its own.
    let members: Vec<_> = field.entries()?.iter().map(|(key, member)| (*key, value(member))).collect();
    let members = members.into_iter().map(|(key, value)| Some((key.to_owned(), value?)));
    members.collect::<Option<Map<_, _>>>().map(Value::Object)
}

fn array(field: &Field<'_>) -> Option<Value> {
    let items: Vec<_> = field.list("a list")?.iter().map(value).collect();
    items.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
}

fn value(field: &Field<'_>) -> Option<Value> {
    match field.value() {
        DeValue::String(text) => Some(Value::from(text.as_ref())),
        DeValue::Boolean(value) => Some(Value::from(*value)),
        DeValue::Datetime(time) => Some(Value::from(time.to_string())),
        DeValue::Integer(number) => {
            let number = integer(number).map(Value::from);
            number.or_else(|| field.mismatch(format_args!("an integer from {} to {}", i64::MIN, i64::MAX)))
        }
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok().and_then(Number::from_f64).map(Value::Number);
            number.or_else(|| field.mismatch("a finite number, as JSON has no other"))
        }
        DeValue::Array(_) => array(field),
        DeValue::Table(_) => object(field),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use toml::de::DeTable;

    use super::super::error::Errors;
    use super::super::reader::read_document;
    use super::super::source::Source;
    use super::*;

    fn settings(text: &str) -> Result<Option<String>, Errors> {
        let source = Source::new("a.toml", text, Path::new(""));
        let document = DeTable::parse(text).unwrap();
        let json = read_document(&source, document.get_ref(), |root| root.optional("settings", to_json));
        source.check().map(|()| json)
    }

    #[test]
    fn every_kind_of_value() {
        let text = r#"
            [settings]
            text = "a \"b\" ü"
            yes = true
            negative = -9_223_372_036_854_775_808
            hexadecimal = 0xff
            float = 1.5
            at = 1979-05-27T07:32:00Z
            list = [1, "a", [], {}]
            [settings.inner]
            "any key" = 0
        "#;
        let expected = serde_json::json!({
            "text": "a \"b\" ü",
            "yes": true,
            "negative": i64::MIN,
            "hexadecimal": 255,
            "float": 1.5,
            "at": "1979-05-27T07:32:00Z",
            "list": [1, "a", [], {}],
            "inner": { "any key": 0 },
        });
        let json = settings(text).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), expected);
    }

    #[test]
    fn an_empty_table_is_not_no_table() {
        assert_eq!(settings("settings = {}").unwrap().as_deref(), Some("{}"));
        assert_eq!(settings("").unwrap(), None);
    }

    #[test]
    fn what_json_cannot_say_is_refused_all_at_once() {
        let text = "settings = { a = inf, b = [-nan, 1e999], \"c d\" = 9223372036854775808 }";
        assert_eq!(
            settings(text).unwrap_err().to_string(),
            "a.toml:1:18: settings.a: expected a finite number, as JSON has no other, found the float inf\n\
             a.toml:1:28: settings.b[0]: expected a finite number, as JSON has no other, found the float -nan\n\
             a.toml:1:34: settings.b[1]: expected a finite number, as JSON has no other, found the float 1e999\n\
             a.toml:1:50: settings.\"c d\": expected an integer from -9223372036854775808 to 9223372036854775807, \
             found the integer 9223372036854775808",
        );
    }

    #[test]
    fn only_a_table() {
        let error = settings("settings = 3").unwrap_err();
        assert_eq!(error.to_string(), "a.toml:1:12: settings: expected a table, found the integer 3");
    }
}
