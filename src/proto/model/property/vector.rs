//! Vectors: little-endian `f32`s, one after another, as one value. Two that write one vector at
//! the same time so never make a third.

use super::{Property, property};
use crate::proto::model::value::Value;

/// A rotation: x, y, z and w.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Quaternion(pub [f32; 4]);

impl Default for Quaternion {
    /// No rotation.
    fn default() -> Self {
        Self([0.0, 0.0, 0.0, 1.0])
    }
}

impl From<[f32; 4]> for Quaternion {
    fn from(xyzw: [f32; 4]) -> Self {
        Self(xyzw)
    }
}

impl From<Quaternion> for [f32; 4] {
    fn from(quaternion: Quaternion) -> Self {
        quaternion.0
    }
}

/// A colour: linear red, green, blue and alpha, each from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Colour(pub [f32; 4]);

impl Default for Colour {
    /// Opaque white.
    fn default() -> Self {
        Self([1.0; 4])
    }
}

impl From<[f32; 4]> for Colour {
    fn from(rgba: [f32; 4]) -> Self {
        Self(rgba)
    }
}

impl From<Colour> for [f32; 4] {
    fn from(colour: Colour) -> Self {
        colour.0
    }
}

/// The value of some numbers.
pub(crate) fn join(numbers: &[f32]) -> Value {
    Value::Bytes(numbers.iter().flat_map(|part| part.to_le_bytes()).collect())
}

/// The numbers of a value that has as many.
pub(crate) fn split<const N: usize>(bytes: &[u8]) -> Option<[f32; N]> {
    let (parts, rest) = bytes.as_chunks::<4>();
    let parts: &[[u8; 4]; N] = parts.try_into().ok()?;
    rest.is_empty().then(|| parts.map(f32::from_le_bytes))
}

/// Implements `Property` for a type, by way of an array.
macro_rules! vector {
    ($type:ty, $name:expr, $numbers:ty) => {
        property!(
            $type,
            concat!($name, " little-endian"),
            |this| join(&<$numbers>::from(*this)),
            Value::Bytes(bytes) => split(bytes).map(|numbers: $numbers| numbers.into())
        );
    };
}

vector!([f32; 2], "[f32; 2]", [f32; 2]);
vector!([f32; 3], "[f32; 3]", [f32; 3]);
vector!([f32; 4], "[f32; 4]", [f32; 4]);
vector!(Quaternion, "Quaternion", [f32; 4]);
vector!(Colour, "Colour", [f32; 4]);

// Named as the arrays are: peers with glam and peers without have the same models.
#[cfg(feature = "glam")]
mod with_glam {
    use glam::{Quat, Vec2, Vec3, Vec4};

    use super::{Colour, Property, Quaternion, Value, join, property, split};

    vector!(Vec2, "[f32; 2]", [f32; 2]);
    vector!(Vec3, "[f32; 3]", [f32; 3]);
    vector!(Vec4, "[f32; 4]", [f32; 4]);
    property!(
        Quat,
        <Quaternion as Property>::NAME,
        |this| join(&this.to_array()),
        Value::Bytes(bytes) => split(bytes).map(Self::from_array)
    );

    impl From<Quat> for Quaternion {
        fn from(quaternion: Quat) -> Self {
            Self(quaternion.to_array())
        }
    }

    impl From<Quaternion> for Quat {
        fn from(quaternion: Quaternion) -> Self {
            Self::from_array(quaternion.0)
        }
    }

    impl From<Vec4> for Colour {
        fn from(rgba: Vec4) -> Self {
            Self(rgba.to_array())
        }
    }

    impl From<Colour> for Vec4 {
        fn from(colour: Colour) -> Self {
            Self::from_array(colour.0)
        }
    }
}

// The types of mint have no default, so they are no fields; `Option`s of them are, and conversions
// lead to and from the types that are.
#[cfg(feature = "mint")]
mod with_mint {
    use mint::{Point2, Point3, Vector2, Vector3, Vector4};

    use super::{Colour, Property, Quaternion, Value, join};

    macro_rules! optional {
        ($($type:ty: $like:ty),*) => {
            $(impl Property for $type {
                const NAME: &'static str = <$like>::NAME;

                fn to_value(&self) -> Value {
                    join(&<[f32; _]>::from(*self))
                }

                fn from_value(value: &Value) -> Option<Self> {
                    <$like>::from_value(value).map(Self::from)
                }
            })*
        };
    }

    optional!(
        Vector2<f32>: [f32; 2],
        Vector3<f32>: [f32; 3],
        Vector4<f32>: [f32; 4],
        Point2<f32>: [f32; 2],
        Point3<f32>: [f32; 3],
        mint::Quaternion<f32>: Quaternion
    );

    impl From<mint::Quaternion<f32>> for Quaternion {
        fn from(quaternion: mint::Quaternion<f32>) -> Self {
            Self(quaternion.into())
        }
    }

    impl From<Quaternion> for mint::Quaternion<f32> {
        fn from(quaternion: Quaternion) -> Self {
            quaternion.0.into()
        }
    }

    impl From<Vector4<f32>> for Colour {
        fn from(rgba: Vector4<f32>) -> Self {
            Self(rgba.into())
        }
    }

    impl From<Colour> for Vector4<f32> {
        fn from(colour: Colour) -> Self {
            colour.0.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::model::{Field, FieldType};

    fn trip<T: FieldType>(field: &T) -> T {
        let mut other = T::default();
        other.take_value(&field.to_value().unwrap());
        other
    }

    fn number() -> impl Strategy<Value = f32> {
        any::<f32>().prop_filter("compared by ==", |number| !number.is_nan())
    }

    proptest! {
        #[test]
        fn vectors_round_trip(four in prop::array::uniform4(number())) {
            let [x, y, z, _] = four;
            prop_assert_eq!(trip(&[x, y]), [x, y]);
            prop_assert_eq!(trip(&[x, y, z]), [x, y, z]);
            prop_assert_eq!(trip(&four), four);
            prop_assert_eq!(trip(&Some(four)), Some(four));
            prop_assert_eq!(trip(&Quaternion(four)), Quaternion(four));
            prop_assert_eq!(trip(&Colour(four)), Colour(four));
        }

        #[test]
        fn bytes_of_another_length_are_left_alone(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut field = [1.0_f32, 2.0, 3.0];
            let taken = field.take_value(&Value::Bytes(bytes.clone()));
            prop_assert!(bytes.len() == 12 || !taken && field == [1.0, 2.0, 3.0]);
        }

        #[cfg(feature = "glam")]
        #[test]
        fn glam_round_trips_and_stands_as_arrays_do(four in prop::array::uniform4(number())) {
            use glam::{Quat, Vec2, Vec3, Vec4};

            let [x, y, z, _] = four;
            prop_assert_eq!(trip(&Vec2::new(x, y)), Vec2::new(x, y));
            prop_assert_eq!(trip(&Vec3::new(x, y, z)), Vec3::new(x, y, z));
            prop_assert_eq!(trip(&Vec4::from_array(four)), Vec4::from_array(four));
            let turn = Quat::from_array(four);
            prop_assert_eq!(trip(&turn), turn);
            prop_assert_eq!(Field::to_value(&turn), Field::to_value(&Quaternion(four)));
            prop_assert_eq!(Quat::from(Quaternion::from(turn)), turn);
            prop_assert_eq!(Quat::kind().describe(), Quaternion::kind().describe());
        }

        #[cfg(feature = "mint")]
        #[test]
        fn mint_converts_and_round_trips_in_options(four in prop::array::uniform4(number())) {
            let turn = mint::Quaternion::from(four);
            prop_assert_eq!(trip(&Some(turn)), Some(turn));
            prop_assert_eq!(mint::Quaternion::from(Quaternion::from(turn)), turn);
            let point = mint::Point3::from([four[0], four[1], four[2]]);
            prop_assert_eq!(trip(&Some(point)), Some(point));
            let rgba = mint::Vector4::from(four);
            prop_assert_eq!(mint::Vector4::from(Colour::from(rgba)), rgba);
        }
    }

    #[test]
    fn a_vector_is_little_endian() {
        let value = Field::to_value(&[1.0_f32, -2.0]);
        assert_eq!(value, Some(Value::Bytes(vec![0, 0, 128, 63, 0, 0, 0, 192])));
        assert_eq!(<[f32; 2]>::kind().describe(), "[f32; 2] little-endian");
    }

    #[cfg(feature = "glam")]
    #[test]
    fn defaults_agree_with_glam() {
        assert_eq!(Quaternion::from(glam::Quat::default()), Quaternion::default());
    }
}
