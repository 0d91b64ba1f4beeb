//! A tree as any type that serde knows, with errors that know their place in the tree.

use super::tree::{Entry, Meaning, Node, Value, meaning};
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use std::fmt;

/// Reads a tree as a `T`, up to the first error.
pub(super) fn from_tree<'a, T: de::Deserialize<'a>>(node: &'a Node) -> Result<T, Misread> {
    T::deserialize(Reader { node })
}

/// Why a tree could not be read as a type, and where.
#[derive(Debug)]
pub(super) struct Misread {
    pub what: What,
    /// The index of the entry or item at each level, innermost first.
    steps: Vec<usize>,
    /// Whether the last entry's key is meant rather than its value.
    pub at_key: bool,
}

/// What is wrong there.
#[derive(Debug)]
pub(super) enum What {
    UnknownField {
        field: String,
        known: &'static [&'static str],
    },
    MissingField {
        field: &'static str,
    },
    UnknownWord {
        word: String,
        known: &'static [&'static str],
    },
    /// Another type was expected.
    WrongType {
        found: String,
        expected: String,
    },
    /// The type is right and the value is not; a sentence says what was expected.
    BadValue {
        message: String,
    },
    /// It was told already.
    Refused,
}

impl Misread {
    fn new(what: What) -> Self {
        Self {
            what,
            steps: Vec::new(),
            at_key: false,
        }
    }

    /// From the root, the index of the entry or item at each level.
    pub fn path(&self) -> Vec<usize> {
        self.steps.iter().rev().copied().collect()
    }

    fn under(mut self, index: usize) -> Self {
        self.steps.push(index);
        self
    }

    /// Names a number as it stands in the document: what is too large for a whole number has lost its digits.
    fn told_as_written(mut self, value: f64, text: &str) -> Self {
        /// Longer ones nobody means to be read.
        const MAX_DIGITS: usize = 40;
        let as_read = in_words(Unexpected::Float(value));
        if let What::WrongType { found, .. } = &mut self.what
            && *found == as_read
            && text.len() <= MAX_DIGITS
        {
            *found = format!("the number {text}");
        }
        self
    }

    fn at_key_of(mut self, index: usize) -> Self {
        self.at_key = true;
        self.under(index)
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Misread {}

impl de::Error for Misread {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(What::BadValue {
            message: message.to_string(),
        })
    }
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(What::WrongType {
            found: in_words(found),
            expected: expected_in_words(expected),
        })
    }
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }
    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let expected = expected_in_words(expected);
        Self::new(What::BadValue {
            message: format!("{expected} is expected here, not {length} values"),
        })
    }
    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownWord {
            word: word.to_owned(),
            known,
        })
    }
    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownField {
            field: field.to_owned(),
            known,
        })
    }
    fn missing_field(field: &'static str) -> Self {
        Self::new(What::MissingField { field })
    }
    fn duplicate_field(field: &'static str) -> Self {
        Self::new(What::BadValue {
            message: format!("`{field}` is written twice"),
        })
    }
}

/// What stands there, as people call it.
fn in_words(found: Unexpected<'_>) -> String {
    use super::report::quoted;
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Char(value) => format!("the text {}", quoted(&value.to_string())),
        Unexpected::Str(text) => format!("the text {}", quoted(text)),
        Unexpected::Unit => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant
        | Unexpected::Enum => "a single word".to_owned(),
        Unexpected::Bytes(_)
        | Unexpected::Option
        | Unexpected::NewtypeStruct
        | Unexpected::Other(_) => "something else".to_owned(),
    }
}

/// What a type expects, as people call it: serde's own types say it in Rust's words.
fn expected_in_words(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u16" => "a whole number from 1 to 65535".to_owned(),
        "u32" | "u64" => "a whole number, 0 or more".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" => "text".to_owned(),
        "newtype variant" | "struct variant" => "a mapping with one field".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping (`name: value` lines)".to_owned(),
        _ if text.starts_with("struct ") => "a mapping (`name: value` lines)".to_owned(),
        _ if text.starts_with("enum ") => "a word or a mapping with one field".to_owned(),
        _ => text,
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
}

/// Placeholders take any form that is asked for; all else says itself what it is.
macro_rules! by_form {
    ($($method:ident => |$visitor:ident| $placeholder:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $visitor: V) -> Result<V::Value, Misread> {
            match self.node.value {
                Value::Placeholder => $placeholder,
                Value::Scalar { .. } | Value::List(_) | Value::Map(_) | Value::Refused | Value::Gone => self.deserialize_any($visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Misread;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        match &self.node.value {
            Value::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
            Value::Scalar { text, plain: true } => match meaning(text) {
                Meaning::Nothing => visitor.visit_unit(),
                Meaning::Bool(value) => visitor.visit_bool(value),
                Meaning::Unsigned(value) => visitor.visit_u64(value),
                Meaning::Signed(value) => visitor.visit_i64(value),
                Meaning::Float(value) => visitor
                    .visit_f64(value)
                    .map_err(|error: Misread| error.told_as_written(value, text)),
                Meaning::Text => visitor.visit_borrowed_str(text),
            },
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Map(entries) => visitor.visit_map(Fields { entries, next: 0 }),
            Value::Refused | Value::Gone => Err(Misread::new(What::Refused)),
            Value::Placeholder => visitor.visit_borrowed_str("x"),
        }
    }

    by_form! {
        deserialize_u16 => |visitor| visitor.visit_u16(1);
        deserialize_u32 => |visitor| visitor.visit_u32(1);
        deserialize_u64 => |visitor| visitor.visit_u64(1);
        deserialize_f64 => |visitor| visitor.visit_f64(1.0);
        deserialize_bool => |visitor| visitor.visit_bool(false);
        deserialize_seq => |visitor| visitor.visit_seq(Items { items: &[], next: 0 });
        deserialize_map => |visitor| visitor.visit_map(Fields { entries: &[], next: 0 });
    }

    /// A field without a value is an error even where it may be left out: half a line is more often forgotten than meant.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misread> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misread> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misread> {
        match &self.node.value {
            Value::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(OneField { entry }).map_err(|error| {
                    if error.steps.is_empty() && matches!(error.what, What::UnknownWord { .. }) {
                        error.at_key_of(0)
                    } else {
                        error.under(0)
                    }
                }),
                [] => Err(Misread::new(What::BadValue {
                    message: format!("one of {} is expected here", one_of(known)),
                })),
                [_, second, ..] => Err(Misread::new(What::BadValue {
                    message: format!(
                        "only one of {} can be written here, and {} is one too many",
                        one_of(known),
                        super::report::quoted(&second.key)
                    ),
                })),
            },
            Value::Scalar { .. } => match self.node.text() {
                Some(word) if known.contains(&word) => {
                    visitor.visit_enum(IntoDeserializer::<Misread>::into_deserializer(word))
                }
                Some(word) => Err(de::Error::unknown_variant(word, known)),
                None => self
                    .deserialize_any(NotAWord { known })
                    .map(|never: Never| match never {}),
            },
            Value::List(_) => Err(Misread::new(What::WrongType {
                found: "a list".to_owned(),
                expected: format!("one of {}", one_of(known)),
            })),
            Value::Refused | Value::Gone => Err(Misread::new(What::Refused)),
            Value::Placeholder => {
                let first = known.first().copied().unwrap_or(name);
                visitor.visit_enum(IntoDeserializer::<Misread>::into_deserializer(first))
            }
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 char str string bytes byte_buf unit unit_struct tuple tuple_struct struct
        identifier ignored_any
    }
}

/// Words as people read them: `a`, `b` or `c`.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// Takes nothing, and says which words would do.
struct NotAWord {
    known: &'static [&'static str],
}

enum Never {}

impl Visitor<'_> for NotAWord {
    type Value = Never;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", one_of(self.known))
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Misread;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misread> {
        let there = |node: &&Node| !matches!(node.value, Value::Gone);
        let rest = self.items.get(self.next..).unwrap_or_default();
        let Some(index) = rest.iter().position(|node| there(&node)) else {
            return Ok(None);
        };
        let index = self.next + index;
        let node = &self.items[index];
        self.next = index + 1;
        seed.deserialize(Reader { node })
            .map(Some)
            .map_err(|error| error.under(index))
    }
}

struct Fields<'a> {
    entries: &'a [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Misread;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misread> {
        let Some(entry) = self.entries.get(self.next) else {
            return Ok(None);
        };
        let key: StrDeserializer<'de, Misread> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.at_key_of(self.next))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misread> {
        let index = self.next;
        self.next += 1;
        let Some(entry) = self.entries.get(index) else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader { node: &entry.value })
            .map_err(|error| error.under(index))
    }
}

/// A mapping with one field, read as an enum's variant with its content.
struct OneField<'a> {
    entry: &'a Entry,
}

impl<'de> EnumAccess<'de> for OneField<'de> {
    type Error = Misread;
    type Variant = Reader<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Reader<'de>), Misread> {
        let key: StrDeserializer<'de, Misread> = self.entry.key.as_str().into_deserializer();
        Ok((
            seed.deserialize(key)?,
            Reader {
                node: &self.entry.value,
            },
        ))
    }
}

impl<'de> VariantAccess<'de> for Reader<'de> {
    type Error = Misread;

    fn unit_variant(self) -> Result<(), Misread> {
        de::Deserialize::deserialize(self)
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misread> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misread> {
        self.deserialize_seq(visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misread> {
        self.deserialize_map(visitor)
    }
}
