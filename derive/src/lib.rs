//! Derive macros of parlor.
//!
//! All paths in the generated code are fully qualified, and its bodies only list fields or variants:
//! the rules are functions of `parlor::proto::model`, which a debugger can enter.

mod attribute;
mod choice;
mod model;

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
/// }
/// ```
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
