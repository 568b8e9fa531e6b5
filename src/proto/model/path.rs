//! Where a model is in its room: the keys from the root to it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

/// The keys that lead from a room's root model to a model, collection or text.
///
/// Property ids in decimal, element ids and dictionary keys as they stand in the document, joined
/// by `/`; a `/` or `%` within a key is written `%2F` or `%25`. The root is the empty path. Element
/// ids are never used twice, so the path of an element names that element for ever, through
/// snapshots and epochs alike.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Arc<str>);

impl Path {
    /// The root model.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// The path of one key below this one.
    #[must_use]
    pub fn join(&self, key: &str) -> Self {
        let key = if key.contains(['/', '%']) {
            Cow::Owned(key.replace('%', "%25").replace('/', "%2F"))
        } else {
            Cow::Borrowed(key)
        };
        if self.is_root() {
            return Self(Arc::from(&*key));
        }
        // Put together off the heap, where it is short enough, and moved there once.
        let mut text = SmallVec::<[u8; 128]>::new();
        for part in [&*self.0, "/", &*key] {
            text.extend_from_slice(part.as_bytes());
        }
        Self(Arc::from(str::from_utf8(&text).unwrap_or_default()))
    }

    /// The path of one property of the model at this one.
    #[must_use]
    pub fn property(&self, id: u16) -> Self {
        self.join(&id.to_string())
    }

    /// The path that [`Self::as_str`] gave.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The path in writing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root model's.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys, unescaped, from the root on.
    pub fn keys(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let text: &str = &self.0;
        text.split('/').filter(|_| !text.is_empty()).map(unescaped)
    }

    /// The path without its last key, and that key; nothing for the root.
    #[must_use]
    pub fn split(&self) -> Option<(Self, String)> {
        if self.is_root() {
            return None;
        }
        let (parent, last) = self.0.rsplit_once('/').unwrap_or(("", &self.0));
        Some((Self(Arc::from(parent)), unescaped(last).into_owned()))
    }

    /// Whether `other` is this path or lies below it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.is_root()
            || other
                .0
                .strip_prefix(&*self.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn unescaped(key: &str) -> Cow<'_, str> {
    if key.contains('%') {
        Cow::Owned(key.replace("%2F", "/").replace("%25", "%"))
    } else {
        Cow::Borrowed(key)
    }
}

impl Default for Path {
    fn default() -> Self {
        Self::root()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "/" } else { &self.0 })
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gives_back_the_keys_it_was_made_of() {
        let path = Path::root().property(3).join("a/b%2F").join("");
        assert_eq!(path.keys().collect::<Vec<_>>(), ["3", "a/b%2F", ""]);
        assert_eq!(path.as_str(), "3/a%2Fb%252F/");
        let (parent, last) = path.split().unwrap();
        assert_eq!((parent, last.as_str()), (Path::root().property(3).join("a/b%2F"), ""));
        assert_eq!(Path::root().split(), None);
    }

    #[test]
    fn a_path_contains_what_lies_below_it_and_no_neighbour() {
        let three = Path::root().property(3);
        assert!(three.contains(&three) && three.contains(&three.join("x")));
        assert!(!three.contains(&Path::root().property(33)));
        assert!(Path::root().contains(&three));
    }
}
