//! Keys of a file whose value is one text or a list of texts, as a flag that may be given several times.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// What such a text stands for.
pub(super) trait Entry: Sized {
    /// What messages call it.
    const WHAT: &'static str;

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(text: &str) -> Result<Self, String>;
}

impl Entry for PathBuf {
    const WHAT: &'static str = "a path";

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

/// One, or a list of them.
pub(super) fn one_or_more<'de, T: Entry, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    from.deserialize_any(Several(PhantomData))
}

struct Several<T>(PhantomData<T>);

impl<'de, T: Entry> Visitor<'de> for Several<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or a list of them", T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        T::read(text).map(|one| vec![one]).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<T>, A::Error> {
        let list = Vec::<One<T>>::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(list.into_iter().map(|One(one)| one).collect())
    }
}

/// An entry of the list, read by a visitor of its own, so that an error has the entry's place.
struct One<T>(T);

impl<'de, T: Entry> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Single(PhantomData)).map(One)
    }
}

struct Single<T>(PhantomData<T>);

impl<T: Entry> Visitor<'_> for Single<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }
}
