//! Values as people type them, by what the room says of their property.

use std::str::FromStr;

use parlor::proto::model::value::Value;

/// Reads a value of a kind that a schema record names. A kind that is not known here, such as an
/// application's own enum, is taken for that of the value `now`, or guessed.
pub(super) fn parse(kind: &str, text: &str, now: Option<&Value>) -> Result<Value, String> {
    if let Some(inner) = kind.strip_prefix("option of ") {
        return if is_nothing(text) { Ok(Value::Null) } else { parse(inner, text, now) };
    }
    let wrong = || format!("`{text}` is not a value of kind `{kind}`");
    let value = match kind {
        "bool" => boolean(text).map(Value::Bool),
        "i8" => integer::<i8>(text).map(|value| Value::Int(value.into())),
        "i16" => integer::<i16>(text).map(|value| Value::Int(value.into())),
        "i32" => integer::<i32>(text).map(|value| Value::Int(value.into())),
        "i64" => integer(text).map(Value::Int),
        "u8" => integer::<u8>(text).map(|value| Value::Uint(value.into())),
        "u16" => integer::<u16>(text).map(|value| Value::Uint(value.into())),
        "u32" => integer::<u32>(text).map(|value| Value::Uint(value.into())),
        "u64" => integer(text).map(Value::Uint),
        "f32" => text.parse::<f32>().ok().map(|value| Value::Float(value.into())),
        "f64" => text.parse().ok().map(Value::Float),
        "String" => Some(Value::Text(text.to_owned())),
        "bytes" => hex::decode(text).ok().map(Value::Bytes),
        "uuid" => {
            let digits = hex::decode(text.replace('-', "")).ok();
            digits.filter(|bytes| bytes.len() == 16).map(Value::Bytes)
        }
        _ if kind.starts_with("reference to ") => {
            Some(if is_nothing(text) { Value::Null } else { Value::Text(text.to_owned()) })
        }
        _ if kind.contains("little-endian") => vector(kind, text).map(Value::Bytes),
        _ => like(now, text),
    };
    value.ok_or_else(wrong)
}

fn is_nothing(text: &str) -> bool {
    matches!(text, "none" | "null")
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn integer<N: FromStr>(text: &str) -> Option<N> {
    text.replace('_', "").parse().ok()
}

/// Numbers with commas or spaces between, as many as the kind says.
fn vector(kind: &str, text: &str) -> Option<Vec<u8>> {
    let numbers: Option<Vec<f32>> = text
        .trim_matches(['[', ']', '(', ')'])
        .split([',', ' '])
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().ok())
        .collect();
    let numbers = numbers?;
    let length = kind
        .split_once("f32; ")
        .and_then(|(_, rest)| rest.split(']').next()?.parse().ok())
        // Of quaternions and colours, which have four.
        .unwrap_or(4_usize);
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    (numbers.len() == length).then(|| bytes.collect())
}

/// A value of the kind of another, or of the first kind that it looks like.
fn like(now: Option<&Value>, text: &str) -> Option<Value> {
    match now {
        Some(Value::Bool(_)) => boolean(text).map(Value::Bool),
        Some(Value::Int(_)) => integer(text).map(Value::Int),
        Some(Value::Uint(_)) => integer(text).map(Value::Uint),
        Some(Value::Float(_)) => text.parse().ok().map(Value::Float),
        Some(Value::Text(_)) => Some(Value::Text(text.to_owned())),
        Some(Value::Bytes(_)) => hex::decode(text).ok().map(Value::Bytes),
        Some(Value::Null) | None => Some(guess(text)),
    }
}

fn guess(text: &str) -> Value {
    None.or_else(|| integer(text).map(Value::Uint))
        .or_else(|| integer(text).map(Value::Int))
        .or_else(|| text.parse().ok().map(Value::Float))
        .or_else(|| text.parse().ok().map(Value::Bool))
        .or_else(|| is_nothing(text).then_some(Value::Null))
        .unwrap_or_else(|| Value::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_their_property_says() {
        assert_eq!(parse("u8", "255", None), Ok(Value::Uint(255)));
        assert!(parse("u8", "256", None).is_err());
        assert_eq!(parse("i64", "-1_000", None), Ok(Value::Int(-1_000)));
        assert_eq!(parse("option of String", "none", None), Ok(Value::Null));
        assert_eq!(parse("String", "7", None), Ok(Value::Text("7".to_owned())));
        let bytes = [1_f32, 2.5].iter().flat_map(|n| n.to_le_bytes()).collect();
        let vector = parse("[f32; 2] little-endian", "1, 2.5", None);
        assert_eq!(vector, Ok(Value::Bytes(bytes)));
        assert!(parse("[f32; 3] little-endian", "1, 2.5", None).is_err());
    }

    #[test]
    fn unknown_kinds_are_those_of_the_value_before() {
        assert_eq!(parse("Team", "5", None), Ok(Value::Uint(5)));
        assert_eq!(parse("Level", "5", Some(&Value::Float(0.0))), Ok(Value::Float(5.0)));
    }
}
