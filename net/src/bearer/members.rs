use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// A JSON object's members are read one by one; the same name twice is an error, known or not:
/// two readers of one token must never see two different claims (RFC 8725 section 2.4 and RFC 7519
/// section 4).
pub(super) trait Members: Default {
    /// Reads the value of a member of this name, or says that it knows none such.
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<Known, A::Error>;
}

pub(super) enum Known {
    Yes,
    No,
}

/// More members than any token has, fewer than would make the search for doubles slow.
const MEMBERS_MAX: usize = 32;

pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Members> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(std::marker::PhantomData))
    }
}

struct ObjectVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Members> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<T>, A::Error> {
        let mut members = T::default();
        let mut names: Vec<String> = Vec::with_capacity(8);
        while let Some(name) = map.next_key::<String>()? {
            if names.len() >= MEMBERS_MAX || names.contains(&name) {
                return Err(de::Error::custom("a member twice, or too many"));
            }
            if let Known::No = members.member(&name, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
            names.push(name);
        }
        Ok(Object(members))
    }
}
