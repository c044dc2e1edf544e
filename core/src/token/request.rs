//! The body of `POST /v1/sip/token`, judged member by member so that the answer names each fault.

use crate::e164::E164;
use crate::identity::Identity;
use crate::limits::TOKEN_LIST_MAX;
use crate::money::Minor;
use crate::rate::normalize_prefix;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Unknown members that are named in an answer; more are as good as these.
const UNKNOWN_MAX: usize = 10;
/// Characters of an unknown member's name that are shown.
const NAME_MAX: usize = 64;

/// One entry of an error's `fields`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The member's name.
    pub field: String,
    /// What is wrong with it, as the end of a sentence that starts with the name.
    pub message: String,
}

impl FieldError {
    fn new(field: &str, message: impl fmt::Display) -> Self {
        Self { field: field.to_owned(), message: message.to_string() }
    }
}

/// What a request narrows a token to; the default narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowing {
    pub identity: Option<Identity>,
    pub from: Vec<E164>,
    /// Prefixes, each with its plus.
    pub destinations: Vec<String>,
    pub max_calls: Option<u32>,
    pub max_cost_minor: Option<Minor>,
}

/// The members as they came, of whatever type: [`TokenRequest::validate`] judges them. Only a body
/// that is no object fails to deserialize. A member that is `null` counts as absent.
#[derive(Debug, Default)]
pub struct TokenRequest {
    identity: Option<Value>,
    from: Option<Value>,
    destinations: Option<Value>,
    max_calls: Option<Value>,
    max_cost_minor: Option<Value>,
    unknown: Vec<String>,
    repeated: Vec<&'static str>,
}

impl TokenRequest {
    /// The narrowing that the members ask for. An unknown member is a fault: a misspelt claim must
    /// not give a wider token than was meant. So are `max_calls` and `max_cost_minor`, which no
    /// session enforces: a limit that is promised and not kept is worse than none.
    ///
    /// # Errors
    /// Every fault, in the order of the documentation's members.
    pub fn validate(self) -> Result<Narrowing, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut narrowing = Narrowing::default();
        if let Some(value) = self.identity {
            match identity(&value) {
                Ok(identity) => narrowing.identity = Some(identity),
                Err(message) => errors.push(FieldError::new("identity", message)),
            }
        }
        if let Some(value) = self.from {
            match list(value, "phone number", |text| E164::parse(text).map_err(|e| e.to_string())) {
                Ok(numbers) => narrowing.from = numbers,
                Err(message) => errors.push(FieldError::new("from", message)),
            }
        }
        if let Some(value) = self.destinations {
            match list(value, "prefix", prefix) {
                Ok(prefixes) => narrowing.destinations = prefixes,
                Err(message) => errors.push(FieldError::new("destinations", message)),
            }
        }
        for (name, value) in
            [("max_calls", self.max_calls), ("max_cost_minor", self.max_cost_minor)]
        {
            if value.is_some() {
                errors
                    .push(FieldError::new(name, "is not supported by this gateway: leave it out"));
            }
        }
        errors
            .extend(self.repeated.into_iter().map(|name| FieldError::new(name, "is given twice")));
        errors.extend(self.unknown.iter().map(|name| FieldError::new(name, "is not known")));
        if errors.is_empty() { Ok(narrowing) } else { Err(errors) }
    }

    fn member(&mut self, name: &str) -> Option<(&'static str, &mut Option<Value>)> {
        Some(match name {
            "identity" => ("identity", &mut self.identity),
            "from" => ("from", &mut self.from),
            "destinations" => ("destinations", &mut self.destinations),
            "max_calls" => ("max_calls", &mut self.max_calls),
            "max_cost_minor" => ("max_cost_minor", &mut self.max_cost_minor),
            _ => return None,
        })
    }
}

fn identity(value: &Value) -> Result<Identity, String> {
    match value {
        Value::Text(text) => Identity::parse(text).map_err(|error| error.to_string()),
        _ => Err("must be text".to_owned()),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    normalize_prefix(text)
        .ok_or_else(|| "must be 1 to 15 digits after an optional +, the first not 0".to_owned())
}

/// A list of texts, or one text alone. An empty list is refused: as a claim it would forbid
/// everything, and left out it would forbid nothing.
fn list<T: PartialEq>(
    value: Value,
    what: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let values = match value {
        Value::List(values) => values,
        text @ Value::Text(_) => vec![text],
        _ => return Err(format!("must be a list of {what} texts")),
    };
    if values.is_empty() {
        return Err(format!("needs at least one {what}, or leave it out"));
    }
    if values.len() > TOKEN_LIST_MAX {
        return Err(format!("may have {TOKEN_LIST_MAX} entries at most"));
    }
    let mut parsed = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let Value::Text(text) = value else {
            return Err(format!("must be a list of {what} texts"));
        };
        let entry = parse(text).map_err(|error| format!("entry {}: {what} {error}", index + 1))?;
        if !parsed.contains(&entry) {
            parsed.push(entry);
        }
    }
    Ok(parsed)
}

/// A member's value as far as any rule looks at it.
#[derive(Debug)]
enum Value {
    Null,
    Text(String),
    List(Vec<Self>),
    /// A truth value, number or object: right for no member.
    Other,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
                Ok(Value::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
                Ok(Value::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
                Ok(Value::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
                Ok(Value::Other)
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Value, E> {
                Ok(Value::Text(text))
            }

            /// Keeps one more than is allowed, so that too many are told from enough.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut values = Vec::new();
                while values.len() <= TOKEN_LIST_MAX {
                    match seq.next_element()? {
                        Some(value) => values.push(value),
                        None => return Ok(Value::List(values)),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::List(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Other)
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}

impl<'de> Deserialize<'de> for TokenRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RequestVisitor;

        impl<'de> Visitor<'de> for RequestVisitor {
            type Value = TokenRequest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object that narrows the token")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TokenRequest, A::Error> {
                let mut request = TokenRequest::default();
                let mut seen: Vec<&'static str> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let value: Value = map.next_value()?;
                    if let Some((name, member)) = request.member(&name) {
                        *member = if matches!(value, Value::Null) { None } else { Some(value) };
                        if !seen.contains(&name) {
                            seen.push(name);
                        } else if !request.repeated.contains(&name) {
                            request.repeated.push(name);
                        }
                    } else if request.unknown.len() < UNKNOWN_MAX {
                        let shown = name.chars().filter(|char| !char.is_control()).take(NAME_MAX);
                        request.unknown.push(shown.collect());
                    }
                }
                Ok(request)
            }
        }

        deserializer.deserialize_map(RequestVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, MapDeserializer, SeqDeserializer};

    /// A JSON value as a test writes it.
    #[derive(Clone)]
    enum Json {
        Null,
        Number(i64),
        Text(&'static str),
        List(Vec<Self>),
    }

    impl<'de> Deserializer<'de> for Json {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self {
                Self::Null => visitor.visit_unit(),
                Self::Number(number) => visitor.visit_i64(number),
                Self::Text(text) => visitor.visit_str(text),
                Self::List(list) => visitor.visit_seq(SeqDeserializer::new(list.into_iter())),
            }
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map struct enum
            identifier ignored_any
        }
    }

    impl IntoDeserializer<'_, Error> for Json {
        type Deserializer = Self;

        fn into_deserializer(self) -> Self {
            self
        }
    }

    fn texts(texts: &[&'static str]) -> Json {
        Json::List(texts.iter().map(|text| Json::Text(text)).collect())
    }

    fn validate(members: &[(&'static str, Json)]) -> Result<Narrowing, Vec<(String, String)>> {
        let members = members.iter().cloned();
        let request = TokenRequest::deserialize(MapDeserializer::new(members)).unwrap();
        request.validate().map_err(|errors| {
            errors.into_iter().map(|error| (error.field, error.message)).collect()
        })
    }

    fn fields(members: &[(&'static str, Json)]) -> Vec<String> {
        validate(members).unwrap_err().into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn an_empty_body_narrows_nothing() {
        assert_eq!(validate(&[]), Ok(Narrowing::default()));
        assert_eq!(TokenRequest::default().validate(), Ok(Narrowing::default()));
        assert_eq!(validate(&[("identity", Json::Null)]), Ok(Narrowing::default()));
    }

    #[test]
    fn every_member_becomes_its_claim() {
        let narrowing = validate(&[
            ("identity", Json::Text("alice")),
            ("from", texts(&["+254700000001", "254700000001", "+254700000002"])),
            ("destinations", texts(&["+254", "1", "254"])),
        ])
        .unwrap();
        assert_eq!(narrowing.identity.unwrap().as_str(), "alice");
        let from: Vec<_> = narrowing.from.iter().map(E164::as_str).collect();
        assert_eq!(from, ["+254700000001", "+254700000002"]);
        assert_eq!(narrowing.destinations, ["+254", "+1"]);
    }

    #[test]
    fn one_text_stands_for_a_list_of_one() {
        let narrowing = validate(&[("from", Json::Text("+254700000001"))]).unwrap();
        assert_eq!(narrowing.from.len(), 1);
    }

    #[test]
    fn each_fault_is_named_with_its_member() {
        let errors = validate(&[
            ("identity", Json::Text("254722000001")),
            ("from", texts(&["+254700000001", "0700"])),
            ("destinations", texts(&["0"])),
        ])
        .unwrap_err();
        let named: Vec<_> = errors.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(named, ["identity", "from", "destinations"]);
        assert!(errors[0].1.starts_with("needs at least one letter"), "{}", errors[0].1);
        assert!(errors[1].1.starts_with("entry 2: phone number starts with 0"), "{}", errors[1].1);
        assert!(errors[2].1.starts_with("entry 1: prefix must be"), "{}", errors[2].1);
    }

    #[test]
    fn a_member_of_the_wrong_type_is_a_fault_of_that_member() {
        for name in ["identity", "from", "destinations"] {
            assert_eq!(fields(&[(name, Json::Number(7))]), [name]);
        }
        assert_eq!(fields(&[("from", Json::List(vec![Json::Number(254)]))]), ["from"]);
        assert_eq!(fields(&[("identity", texts(&["alice"]))]), ["identity"]);
    }

    #[test]
    fn an_empty_or_endless_list_is_refused() {
        for name in ["from", "destinations"] {
            assert_eq!(fields(&[(name, texts(&[]))]), [name]);
            let many = vec![Json::Text("+254700000001"); TOKEN_LIST_MAX + 5];
            assert_eq!(fields(&[(name, Json::List(many))]), [name]);
            let enough = vec![Json::Text("+254700000001"); TOKEN_LIST_MAX];
            assert!(validate(&[(name, Json::List(enough))]).is_ok());
        }
    }

    #[test]
    fn limits_that_nobody_keeps_are_refused() {
        for name in ["max_calls", "max_cost_minor"] {
            assert_eq!(
                fields(&[("identity", Json::Text("alice")), (name, Json::Number(5))]),
                [name]
            );
        }
    }

    #[test]
    fn a_misspelt_or_repeated_member_never_widens_a_token() {
        assert_eq!(fields(&[("destination", texts(&["+254"]))]), ["destination"]);
        let twice = [("from", texts(&["+254700000001"])), ("from", Json::Null)];
        assert_eq!(fields(&twice), ["from"]);
        let many = vec![("x\r\n", Json::Null); 30];
        assert_eq!(fields(&many), vec!["x"; UNKNOWN_MAX]);
    }
}
