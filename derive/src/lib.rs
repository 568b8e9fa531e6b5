//! Derive macros of parlor.
//!
//! All paths in the generated code are fully qualified, and its bodies only list fields or variants:
//! the rules are functions of `parlor::proto::model`, which a debugger can enter.

mod attribute;
mod choice;
mod model;
mod words;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct with named fields a `parlor::Model`.
///
/// Every field carries `#[property(ID)]`, an integer literal from 1 to 65,535 that names the
/// property for ever. `#[model(..)]` on the struct takes, all optional:
///
/// - `name = "Player"`: the name of the type in documents, instead of its identifier;
/// - `retired(3, 4)`: ids of fields that are gone, which must not be used again;
/// - `crate = "path"`: where parlor is, for a crate that renames the dependency.
///
/// The struct also derives `Clone`, `Debug`, `Default` and `PartialEq`.
///
/// ```ignore
/// #[derive(Model, Clone, Debug, Default, PartialEq)]
/// #[model(retired(3))]
/// struct Player {
///     #[property(1)]
///     name: String,
///     #[property(2)]
///     score: Counter,
///     #[property(4, unreliable, quantize = 0.01, interpolate)]
///     place: [f32; 3],
///     #[property(5, unreliable, quantize = 0.5, round = 360.0)]
///     heading: f32,
///     #[property(6, unreliable, redundant, ephemeral = 2.0)]
///     emote: Option<Emote>,
/// }
/// ```
///
/// A field may also be a `Signal<T>`: that is no value, but something that happens to the model and is
/// told once.
///
/// # Values that change all the time
///
/// A property stands in a document: nothing that is written is lost, and all of it is kept. With
/// `unreliable` behind its id it goes by the state lane instead: only its newest value counts, what
/// is lost on the way is not said again as it was, and it is rounded to a grid. That takes about a
/// byte each time. It is for numbers, `bool`, [`Choice`](macro@Choice)s, vectors, colours and
/// rotations. More words say how, each at most once, in any order; numbers are literals:
///
/// - `quantize = 0.01`: how far apart the grid points are. Without it 1 for integers, flags and
///   choices, 0.001 for floats and for each number of a vector, 1/255 for each of a colour, and
///   1/1024 for each component of a rotation (from 1/32768 to 1/16).
/// - `quantize(bits = 10, range = -1.0..=1.0)`: as many grid points as 1 to 24 bits tell apart, evenly
///   from one end of the range to the other, which are among them; values outside become its ends.
///   Each number of a vector has them; a rotation has none.
/// - `round = 360.0`: a number that goes round, such as an angle, so that from 359 to 1 it is 2. Once
///   round has as many whole steps as come nearest to `quantize`, from 2 to 2^24.
/// - `redundant`: each value is said twice more, whether it arrived or not, for what should not be
///   missed.
/// - `ephemeral = 2.0`: so many seconds after the last time that it was written the property is back
///   at its default. An `Option` must have it: `None` is on no grid, so only time can bring it back.
/// - `interpolate`: others see it move between the values that came, not jump.
#[proc_macro_derive(Model, attributes(model, property))]
pub fn model(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    model::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a fieldless enum a property, kept as its discriminant.
///
/// The numbers are those that Rust gives the variants, so a variant that moves needs an explicit
/// one (`Red = 2`). A number that is no variant, as of a newer peer, leaves the field as it is.
/// `#[choice(..)]` on the enum takes `name = "Suit"` and `crate = "path"`, as `#[model(..)]` does
/// for [`Model`](macro@Model).
///
/// The enum also derives `Default`, with `#[default]` on one variant, and what the models that hold
/// it derive.
///
/// ```ignore
/// #[derive(Choice, Clone, Debug, Default, PartialEq)]
/// enum Suit {
///     #[default]
///     Clubs,
///     Hearts = 5,
/// }
/// ```
#[proc_macro_derive(Choice, attributes(choice))]
pub fn choice(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    choice::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
