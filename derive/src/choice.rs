//! `#[derive(Choice)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Data, DataEnum, DeriveInput, Expr, ExprUnary, Fields, UnOp, Variant};

use crate::attribute::{Container, Errors};

/// The implementation for an enum.
pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let variants = &fieldless(input)?.variants;
    let mut errors = Errors::default();
    errors.no_generics("choice", &input.generics);
    let container = Container::read("choice", &input.attrs, &mut errors, |_, _| false);
    if variants.is_empty() {
        errors.at(&input.ident, "a choice has at least one variant");
    }
    for variant in variants {
        check(variant, &mut errors);
    }
    errors.finish()?;
    let variants: Vec<&Variant> = variants.iter().collect();
    Ok(emit(input, &container, &variants))
}

/// The enum.
fn fieldless(input: &DeriveInput) -> syn::Result<&DataEnum> {
    let span = match &input.data {
        Data::Enum(data) => return Ok(data),
        Data::Struct(data) => data.struct_token.span(),
        Data::Union(data) => data.union_token.span(),
    };
    Err(syn::Error::new(span, "a choice is an enum without fields"))
}

/// Refuses a variant with fields, or with a number that is negative to the eye.
fn check(variant: &Variant, errors: &mut Errors) {
    if !matches!(variant.fields, Fields::Unit) {
        errors.at(&variant.fields, "a variant of a choice has no fields");
    }
    if let Some((_, number @ Expr::Unary(ExprUnary { op: UnOp::Neg(_), .. }))) =
        &variant.discriminant
    {
        errors.at(number, NEGATIVE);
    }
}

/// What is said of a negative number, at once or by the compiler.
const NEGATIVE: &str = "the number of a variant of a choice is not negative";

/// Writes the implementations.
fn emit(input: &DeriveInput, container: &Container, variants: &[&Variant]) -> TokenStream {
    let model = container.model_path();
    let this = &input.ident;
    let name = format!("choice {}", container.name(this));
    let variant: Vec<_> = variants.iter().map(|variant| &variant.ident).collect();
    // A number that is computed is known to the compiler only.
    let checks = variants.iter().filter_map(|variant| {
        let (_, number) = variant.discriminant.as_ref()?;
        let ident = &variant.ident;
        (!matches!(number, Expr::Lit(_))).then(|| {
            quote_spanned!(number.span()=>
                const _: () = ::core::assert!(#this::#ident as i128 >= 0, #NEGATIVE);
            )
        })
    });
    quote! {
        #(#checks)*

        #[automatically_derived]
        impl #model::property::Property for #this {
            const NAME: &'static str = #name;

            fn to_value(&self) -> #model::value::Value {
                #model::value::Value::Uint(match self {
                    #(Self::#variant => Self::#variant as u64,)*
                })
            }

            fn from_value(value: &#model::value::Value) -> ::core::option::Option<Self> {
                #model::property::choose(value, [#((Self::#variant as u64, Self::#variant)),*])
            }
        }

        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #model::grid::Quantised for #this {
            const FORM: #model::grid::Form = #model::grid::Form::Unsigned;
        }

        #[automatically_derived]
        impl #model::Field for #this {
            fn to_value(&self) -> ::core::option::Option<#model::value::Value> {
                ::core::option::Option::Some(#model::property::Property::to_value(self))
            }

            fn take_value(&mut self, value: &#model::value::Value) -> bool {
                #model::property::take(self, value)
            }

            fn bind(&mut self, _: &#model::path::Path) {}
        }

        #[automatically_derived]
        impl #model::FieldType for #this {
            fn kind() -> #model::Kind {
                #model::property::kind::<Self>()
            }
        }
    }
}
