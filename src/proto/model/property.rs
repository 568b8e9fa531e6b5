//! Which Rust types can be properties, and how each stands in a document.

pub mod vector;

use std::ops::{AddAssign, SubAssign};
use std::str;

use bytes::Bytes;

use super::handle::{Handle, ModelRef};
use super::path::Path;
use super::value::Value;
use super::{Field, FieldType, Kind, Model};

/// A type of value: how it stands in a document.
///
/// Applications make their own types properties with
/// [`property_field!`](crate::property_field), and fieldless enums with
/// [`derive(Choice)`](macro@crate::Choice). A type that is a `Property` can also be a field as an
/// `Option` of it; so `to_value` never gives [`Value::Null`], which is `None`.
pub trait Property: Sized {
    /// How schema records name the encoding, for instance `bool`.
    const NAME: &'static str;

    /// The value that stands in the document.
    fn to_value(&self) -> Value;

    /// What the value means, if it is one of this type: of the kind that [`Self::to_value`] gives,
    /// and in range.
    fn from_value(value: &Value) -> Option<Self>;

    /// Whether `value` is what [`Self::to_value`] gives: types whose values are on the heap can tell
    /// without making one.
    fn stands_as(&self, value: &Value) -> bool {
        self.to_value().same(value)
    }
}

/// Makes [`Property`](crate::proto::model::property::Property) types fields of models.
///
/// ```
/// use parlor::proto::model::property::Property;
/// use parlor::proto::model::value::Value;
///
/// #[derive(Clone, Debug, Default, PartialEq)]
/// struct Celsius(f64);
///
/// impl Property for Celsius {
///     const NAME: &'static str = "degrees Celsius";
///
///     fn to_value(&self) -> Value {
///         self.0.to_value()
///     }
///
///     fn from_value(value: &Value) -> Option<Self> {
///         f64::from_value(value).map(Self)
///     }
/// }
///
/// parlor::property_field!(Celsius);
///
/// #[derive(parlor::Model, Clone, Debug, Default, PartialEq)]
/// struct Oven {
///     #[property(1)]
///     temperature: Celsius,
/// }
/// ```
#[macro_export]
macro_rules! property_field {
    ($($type:ty),+ $(,)?) => {
        $(
            impl $crate::proto::model::Field for $type {
                fn to_value(&self) -> ::core::option::Option<$crate::proto::model::value::Value> {
                    ::core::option::Option::Some(
                        $crate::proto::model::property::Property::to_value(self),
                    )
                }

                fn take_value(&mut self, value: &$crate::proto::model::value::Value) -> bool {
                    $crate::proto::model::property::take(self, value)
                }

                fn bind(&mut self, _: &$crate::proto::model::path::Path) {}
            }

            impl $crate::proto::model::FieldType for $type {
                fn kind() -> $crate::proto::model::Kind {
                    $crate::proto::model::property::kind::<Self>()
                }
            }
        )+
    };
}

/// Takes what stands in the document, as [`Field::take_value`] does: returns whether the field is
/// different now, and leaves it as it is if the value is not one of its type.
pub fn take<T: Property>(field: &mut T, value: &Value) -> bool {
    if field.stands_as(value) {
        return false;
    }
    let Some(new) = T::from_value(value) else {
        return false;
    };
    if new.stands_as(value) {
        *field = new;
        return true;
    }
    let before = field.to_value();
    *field = new;
    !field.stands_as(&before)
}

/// The kind of the fields of a [`Property`] type.
#[must_use]
pub fn kind<T: Property>() -> Kind {
    Kind::Value(T::NAME)
}

/// The variant of a value, out of all with their numbers: what `derive(Choice)` calls.
#[must_use]
pub fn choose<T, const N: usize>(value: &Value, variants: [(u64, T); N]) -> Option<T> {
    let number = u64::from_value(value)?;
    let mut variants = variants.into_iter();
    variants.find_map(|(known, variant)| (known == number).then_some(variant))
}

/// Implements [`Property`] for a type: name, the pattern of the value, and both ways; and how to
/// compare the two, where that is cheaper.
macro_rules! property {
    (
        $type:ty,
        $name:expr,
        |$this:ident| $to:expr,
        $pattern:pat => $from:expr
        $(, |$own:ident| $same:expr)?
    ) => {
        impl Property for $type {
            const NAME: &'static str = $name;

            fn to_value(&self) -> Value {
                let $this = self;
                $to
            }

            fn from_value(value: &Value) -> Option<Self> {
                if let $pattern = value { $from } else { None }
            }

            $(
                fn stands_as(&self, value: &Value) -> bool {
                    let $own = self;
                    if let $pattern = value { $same } else { false }
                }
            )?
        }

        $crate::property_field!($type);
    };
}
use property;

macro_rules! integers {
    ($kind:ident, $wide:ident: $($type:ident),*) => {
        $(property!(
            $type,
            stringify!($type),
            |this| Value::$kind($wide::from(*this)),
            Value::$kind(number) => Self::try_from(*number).ok()
        );)*
    };
}

integers!(Int, i64: i8, i16, i32, i64);
integers!(Uint, u64: u8, u16, u32, u64);

property!(bool, "bool", |this| Value::Bool(*this), Value::Bool(value) => Some(*value));
property!(f64, "f64", |this| Value::Float(*this), Value::Float(number) => Some(*number));
property!(
    f32,
    "f32",
    // Which of the many NaNs a conversion gives is not defined: give one.
    |this| Value::Float(if this.is_nan() { f64::NAN } else { f64::from(*this) }),
    Value::Float(number) => narrow(*number)
);
property!(
    String,
    "String",
    |this| Value::Text(this.clone()),
    Value::Text(text) => Some(text.clone()),
    |this| this == text
);
property!(
    Vec<u8>,
    "bytes",
    |this| Value::Bytes(this.clone()),
    Value::Bytes(bytes) => Some(bytes.clone()),
    |this| this == bytes
);
property!(
    Bytes,
    "bytes",
    |this| Value::Bytes(this.to_vec()),
    Value::Bytes(bytes) => Some(Self::copy_from_slice(bytes))
);
property!(
    [u8; 16],
    "uuid",
    |this| Value::Bytes(this.to_vec()),
    Value::Bytes(bytes) => bytes.as_slice().try_into().ok()
);

/// The nearest `f32`, unless the number is finite and beyond all of them.
fn narrow(number: f64) -> Option<f32> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a newer peer's f64 is rounded; beyond the range it becomes infinite, seen below"
    )]
    let narrow = number as f32;
    (narrow.is_finite() || !number.is_finite()).then_some(narrow)
}

impl<T: Property + Send + 'static> Field for Option<T> {
    fn to_value(&self) -> Option<Value> {
        Some(self.as_ref().map_or(Value::Null, Property::to_value))
    }

    fn take_value(&mut self, value: &Value) -> bool {
        match self {
            _ if *value == Value::Null => self.take().is_some(),
            Some(field) => take(field, value),
            None => {
                *self = T::from_value(value);
                self.is_some()
            }
        }
    }

    fn bind(&mut self, _: &Path) {}
}

impl<T: Property + Send + 'static> FieldType for Option<T> {
    fn kind() -> Kind {
        Kind::Value(const { &Joined::of("option of ", T::NAME) }.text())
    }
}

// Not a `Property`, for it has its own nothing: the handle that points nowhere.
impl<T: Model> Field for ModelRef<T> {
    fn to_value(&self) -> Option<Value> {
        let text = |path: &Path| Value::Text(path.as_str().to_owned());
        Some(self.path().map_or(Value::Null, text))
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other kind of value is another type's"
    )]
    fn take_value(&mut self, value: &Value) -> bool {
        let new = match value {
            Value::Null => Self::default(),
            Value::Text(path) => Self::at(Path::parse(path)),
            _ => return false,
        };
        let changed = *self != new;
        *self = new;
        changed
    }

    fn bind(&mut self, _: &Path) {}
}

impl<T: Model> FieldType for ModelRef<T> {
    fn kind() -> Kind {
        Kind::Value(const { &Joined::of("reference to ", T::NAME) }.text())
    }
}

/// A sum that many add to at once: what is written is the difference, and differences add up.
///
/// It wraps at the ends of `i64`, so that the order of the differences makes no difference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Counter(i64);

impl Counter {
    /// A counter that stands at `total`.
    #[must_use]
    pub fn new(total: i64) -> Self {
        Self(total)
    }

    /// Where it stands.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl AddAssign<i64> for Counter {
    fn add_assign(&mut self, difference: i64) {
        self.0 = self.0.wrapping_add(difference);
    }
}

impl SubAssign<i64> for Counter {
    fn sub_assign(&mut self, difference: i64) {
        self.0 = self.0.wrapping_sub(difference);
    }
}

// Not a `Property`: the kind is another, and an optional counter would have no sum.
impl Field for Counter {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Int(self.0))
    }

    fn take_value(&mut self, value: &Value) -> bool {
        take(&mut self.0, value)
    }

    fn bind(&mut self, _: &Path) {}
}

impl FieldType for Counter {
    fn kind() -> Kind {
        Kind::Counter
    }
}

/// Two texts as one, made by the compiler: a constant of a generic type cannot be concatenated
/// otherwise. What is longer than the room for it does not compile.
struct Joined {
    bytes: [u8; 256],
    length: usize,
}

impl Joined {
    const fn of(first: &str, second: &str) -> Self {
        let (first, second) = (first.as_bytes(), second.as_bytes());
        let mut bytes = [0; 256];
        let (head, tail) = bytes.split_at_mut(first.len());
        head.copy_from_slice(first);
        tail.split_at_mut(second.len()).0.copy_from_slice(second);
        Self { bytes, length: first.len() + second.len() }
    }

    const fn text(&self) -> &str {
        let (text, _) = self.bytes.split_at(self.length);
        match str::from_utf8(text) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::mem;

    use proptest::prelude::*;

    use super::*;

    /// One value of every kind.
    fn kinds() -> [Value; 7] {
        [
            Value::Null,
            Value::Bool(true),
            Value::Int(-1),
            Value::Uint(u64::MAX),
            Value::Float(1e300),
            Value::Text("text".to_owned()),
            Value::Bytes(vec![1, 2, 3]),
        ]
    }

    /// Writes the field's value into a default field and reads it there, and offers that one every
    /// kind of value but the two given.
    fn trip<T>(field: &T, kind: &Value, other_kind: &Value) -> T
    where
        T: FieldType + PartialEq + Debug,
    {
        let value = field.to_value().unwrap();
        let mut other = T::default();
        let changed = !other.to_value().unwrap().same(&value);
        assert_eq!(other.take_value(&value), changed);
        assert!(!other.take_value(&value), "the same value is no change");
        let like = |a: &Value, b: &Value| mem::discriminant(a) == mem::discriminant(b);
        for wrong in kinds() {
            if !like(&wrong, kind) && !like(&wrong, other_kind) {
                assert!(!other.take_value(&wrong), "{:?} took {wrong}", T::kind());
                assert!(other.to_value().unwrap().same(&value));
            }
        }
        other
    }

    /// [`trip`], with equality, of the value and of an option of it.
    fn equal<T>(field: T) -> Result<(), TestCaseError>
    where
        T: Property + FieldType + PartialEq + Debug + Clone,
    {
        let kind = Property::to_value(&field);
        prop_assert_eq!(&trip(&field, &kind, &kind), &field);
        prop_assert_eq!(trip(&None::<T>, &kind, &Value::Null), None);
        let some = Some(field);
        prop_assert_eq!(&trip(&some, &kind, &Value::Null), &some);
        Ok(())
    }

    proptest! {
        #[test]
        fn integers_round_trip(number: i64, wide: u64, small: (i8, i16, i32), large: (u8, u16, u32)) {
            equal(number)?;
            equal(wide)?;
            equal(small.0)?;
            equal(small.1)?;
            equal(small.2)?;
            equal(large.0)?;
            equal(large.1)?;
            equal(large.2)?;
            let counter = Counter::new(number);
            prop_assert_eq!(trip(&counter, &Value::Int(0), &Value::Int(0)), counter);
        }

        #[test]
        fn the_rest_round_trips(flag: bool, text: String, bytes: Vec<u8>, id: [u8; 16]) {
            equal(flag)?;
            equal(text)?;
            equal(Bytes::from(bytes.clone()))?;
            equal(bytes)?;
            equal(id)?;
        }

        #[test]
        fn floats_round_trip_to_the_bit(bits: u64, small: u32) {
            let wide = f64::from_bits(bits);
            let mut field = 0.0_f64;
            field.take_value(&Property::to_value(&wide));
            prop_assert_eq!(field.to_bits(), bits);
            let narrow = f32::from_bits(small);
            let mut field = 0.0_f32;
            field.take_value(&Property::to_value(&narrow));
            prop_assert!(field.to_bits() == small || field.is_nan() && narrow.is_nan());
        }

        #[test]
        fn a_number_out_of_range_is_left_alone(signed: i64, unsigned: u64) {
            let mut byte = 7_i8;
            byte.take_value(&Value::Int(signed));
            prop_assert_eq!(i64::from(byte), i8::try_from(signed).map_or(7, i64::from));
            let mut byte = 7_u8;
            byte.take_value(&Value::Uint(unsigned));
            prop_assert_eq!(u64::from(byte), u8::try_from(unsigned).map_or(7, u64::from));
        }
    }

    #[test]
    fn a_float_is_rounded_but_not_to_infinity() {
        let mut field = 1.5_f32;
        assert!(!field.take_value(&Value::Float(1e300)));
        assert_eq!(field.to_bits(), 1.5_f32.to_bits());
        assert!(field.take_value(&Value::Float(f64::INFINITY)));
        assert!(field.take_value(&Value::Float(0.1)));
        assert_eq!(field.to_bits(), 0.1_f32.to_bits());
        assert!(field.take_value(&Value::Float(f64::NAN)));
        assert!(!field.take_value(&Value::Float(f64::NAN)));
    }

    #[test]
    fn a_counter_counts_and_wraps() {
        let mut counter = Counter::new(i64::MAX);
        counter += 1;
        assert_eq!(counter.get(), i64::MIN);
        counter -= 1;
        assert_eq!(counter.get(), i64::MAX);
    }

    #[derive(crate::Model, Clone, Debug, Default, PartialEq)]
    struct Empty {}

    #[test]
    fn kinds_have_their_names() {
        assert_eq!(i8::kind().describe(), "i8");
        assert_eq!(Vec::<u8>::kind().describe(), Bytes::kind().describe());
        assert_eq!(Option::<String>::kind().describe(), "option of String");
        assert_eq!(ModelRef::<Empty>::kind().describe(), "reference to Empty");
    }

    #[test]
    fn a_reference_is_its_path() {
        let path = Path::root().property(3).join("x/y");
        let here = ModelRef::<Empty>::at(path.clone());
        let text = here.to_value().unwrap();
        assert_eq!(trip(&here, &text, &Value::Null), here);
        assert_eq!(here.to_value(), Some(Value::Text("3/x%2Fy".to_owned())));
        let mut field = here.clone();
        field.bind(&Path::root());
        assert_eq!(field, here);
        assert!(field.take_value(&Value::Null));
        assert_eq!(field, ModelRef::default());
    }
}
