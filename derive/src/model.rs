//! `#[derive(Model)]`.

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Attribute, Data, DeriveInput, Expr, Field, Fields, Ident, Meta, Token, Type};

use crate::attribute::{Container, Errors, parse_id};
use crate::words::Words;

/// The implementation for a struct.
pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = named_fields(input)?;
    let mut errors = Errors::default();
    errors.no_generics("model", &input.generics);
    let mut ids = Ids::default();
    let container = Container::read("model", &input.attrs, &mut errors, |item, errors| {
        read_retired(item, &mut ids, errors)
    });
    let properties: Vec<Property<'_>> =
        fields.iter().filter_map(|field| read_field(field, &mut ids, &mut errors)).collect();
    errors.finish()?;
    Ok(emit(input, &container, &ids.retired, &properties))
}

/// A field and what its attribute says.
struct Property<'a> {
    id: u16,
    name: &'a Ident,
    of: &'a Type,
    words: Words,
}

/// The ids seen so far.
#[derive(Default)]
struct Ids {
    retired: Vec<u16>,
    used: BTreeMap<u16, String>,
}

/// The fields of a struct that has names for them.
fn named_fields(input: &DeriveInput) -> syn::Result<&Punctuated<Field, Token![,]>> {
    let span = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => return Ok(&fields.named),
            Fields::Unnamed(fields) => fields.span(),
            Fields::Unit => input.ident.span(),
        },
        Data::Enum(data) => data.enum_token.span(),
        Data::Union(data) => data.union_token.span(),
    };
    let message = "a model is a struct with named fields";
    Err(syn::Error::new(span, message))
}

/// Reads `retired(3, 4)`; answers whether it was one.
fn read_retired(item: &Meta, ids: &mut Ids, errors: &mut Errors) -> bool {
    if !item.path().is_ident("retired") {
        return false;
    }
    let list = item
        .require_list()
        .and_then(|list| list.parse_args_with(Punctuated::<Expr, Token![,]>::parse_terminated));
    for expression in errors.take(list).into_iter().flatten() {
        let Some(id) = errors.take(parse_id(&expression)) else {
            continue;
        };
        if ids.retired.contains(&id) {
            errors.at(&expression, format!("property id {id} is retired twice"));
        } else {
            ids.retired.push(id);
        }
    }
    true
}

/// Reads the attribute of a field and takes its id.
fn read_field<'a>(field: &'a Field, ids: &mut Ids, errors: &mut Errors) -> Option<Property<'a>> {
    let name = field.ident.as_ref()?;
    let mut attributes =
        field.attrs.iter().filter(|attribute| attribute.path().is_ident("property"));
    let Some(attribute) = attributes.next() else {
        errors.at(field, format!("`{name}` needs an id: `#[property(1)]`"));
        return None;
    };
    for another in attributes {
        errors.at(another, format!("`{name}` has two `#[property]` attributes"));
    }
    let (literal, id, words) = read_attribute(attribute, errors)?;
    if let Some(first) = ids.used.get(&id) {
        errors.at(&literal, format!("property id {id} is already that of `{first}`"));
    } else if ids.retired.contains(&id) {
        errors.at(&literal, format!("property id {id} is retired"));
    }
    ids.used.entry(id).or_insert_with(|| name.to_string());
    let of = &field.ty;
    Some(Property { id, name, of, words })
}

/// Reads `#[property(ID, WORDS..)]`.
fn read_attribute(attribute: &Attribute, errors: &mut Errors) -> Option<(Expr, u16, Words)> {
    let parts = attribute.parse_args_with(|input: ParseStream<'_>| {
        if input.is_empty() {
            return Err(syn::Error::new_spanned(attribute, "expected an id: `#[property(1)]`"));
        }
        let id: Expr = input.parse()?;
        let mut words = Punctuated::<Meta, Token![,]>::new();
        if input.parse::<Option<Token![,]>>()?.is_some() {
            words = Punctuated::parse_terminated(input)?;
        }
        Ok((id, words))
    });
    let (literal, words) = errors.take(parts)?;
    let words = Words::read(&Vec::from_iter(words), errors);
    let id = errors.take(parse_id(&literal))?;
    Some((literal, id, words))
}

/// Writes the implementation.
fn emit(
    input: &DeriveInput,
    container: &Container,
    retired: &[u16],
    properties: &[Property<'_>],
) -> TokenStream {
    let model = container.model_path();
    let this = &input.ident;
    let name = container.name(this);
    let id: Vec<u16> = properties.iter().map(|property| property.id).collect();
    let field: Vec<&Ident> = properties.iter().map(|property| property.name).collect();
    let shapes = properties.iter().map(|Property { id, name, of, words }| {
        words.shape(&model, of, *id, &name.unraw().to_string())
    });
    quote! {
        #[automatically_derived]
        impl #model::Model for #this {
            const NAME: &'static str = #name;

            const RETIRED: &'static [u16] = &[#(#retired),*];

            fn describe(properties: &mut ::std::vec::Vec<#model::PropertyShape>) {
                ::core::iter::Extend::<#model::PropertyShape>::extend(
                    properties,
                    [#(#shapes),*],
                );
            }

            fn field(&self, id: u16) -> ::core::option::Option<&dyn #model::Field> {
                match id {
                    #(#id => ::core::option::Option::Some(&self.#field),)*
                    _ => ::core::option::Option::None,
                }
            }

            fn field_mut(&mut self, id: u16) -> ::core::option::Option<&mut dyn #model::Field> {
                match id {
                    #(#id => ::core::option::Option::Some(&mut self.#field),)*
                    _ => ::core::option::Option::None,
                }
            }
        }
    }
}
