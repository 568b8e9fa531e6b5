//! What stands behind the id of a property.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, ExprRange, ExprUnary, Lit, Meta, Path, RangeLimits, Token, Type, UnOp};

use crate::attribute::Errors;

/// The words of `#[property(ID, unreliable, ..)]`.
#[derive(Default)]
pub(crate) struct Words {
    unreliable: bool,
    redundant: bool,
    interpolate: bool,
    quantize: Option<Quantize>,
    round: Option<f64>,
    /// In microseconds.
    ephemeral: Option<u64>,
}

/// How fine a grid is.
enum Quantize {
    Step(f64),
    Bits { bits: u8, low: f64, high: f64 },
}

impl Words {
    /// Reads the words.
    pub(crate) fn read(items: &[Meta], errors: &mut Errors) -> Self {
        let mut words = Self::default();
        let mut strange = Vec::new();
        for (at, item) in items.iter().enumerate() {
            if items[..at].iter().any(|earlier| earlier.path() == item.path()) {
                errors.at(item, "given twice");
            } else if let Some(read) = words.read_word(item) {
                errors.take(read);
            } else {
                let text = item.to_token_stream();
                errors.at(item, format!("`{text}` is not supported in `#[property(..)]`"));
                strange.push(item.path());
            }
        }
        let unreliable = items.iter().any(|item| item.path().is_ident("unreliable"));
        for item in items.iter().filter(|item| !unreliable && !strange.contains(&item.path())) {
            let name = item.path().to_token_stream();
            let message = format!("`{name}` is for `unreliable` properties");
            errors.at(item, message);
        }
        words
    }

    /// Reads one word, if it is known.
    fn read_word(&mut self, item: &Meta) -> Option<syn::Result<()>> {
        let name = item.path().get_ident()?.to_string();
        Some(match name.as_str() {
            "unreliable" => flag(item).map(|()| self.unreliable = true),
            "redundant" => flag(item).map(|()| self.redundant = true),
            "interpolate" => flag(item).map(|()| self.interpolate = true),
            "ephemeral" => read_ephemeral(item).map(|time| self.ephemeral = Some(time)),
            "quantize" => read_quantize(item).and_then(|quantize| {
                self.quantize = Some(quantize);
                self.check_round(item)
            }),
            "round" => positive(item, "360.0").and_then(|round| {
                self.round = Some(round);
                self.check_round(item)
            }),
            _ => return None,
        })
    }

    /// Refuses what goes round and has ends.
    fn check_round(&self, item: &Meta) -> syn::Result<()> {
        if self.round.is_some() && matches!(self.quantize, Some(Quantize::Bits { .. })) {
            let message = "what goes `round` has no range: give a step, `quantize = 0.5`";
            return Err(syn::Error::new_spanned(item, message));
        }
        Ok(())
    }

    /// The shape of a property that has them.
    pub(crate) fn shape(&self, model: &Path, of: &Type, id: u16, label: &str) -> TokenStream {
        if !self.unreliable {
            return quote!(#model::PropertyShape::of::<#of>(#id, #label));
        }
        let words = self.emit(model);
        // A constant, and at the type: what is wrong with both is told there by the compiler.
        let at = Span::call_site().located_at(of.span());
        let place = quote!(#model).into_iter().map(|mut token| {
            token.set_span(at);
            token
        });
        let place: TokenStream = place.collect();
        quote_spanned! {at=> {
            const TERMS: #model::words::StateTerms = #place::words::StateTerms::of::<#of>(#words);
            #model::PropertyShape::state::<#of>(#id, #label, TERMS)
        }}
    }

    /// Lists the words as a value.
    fn emit(&self, model: &Path) -> TokenStream {
        let Self { redundant, interpolate, round, ephemeral, .. } = self;
        let quantize = self.quantize.as_ref().map(|quantize| match quantize {
            Quantize::Step(step) => quote!(#model::words::Quantize::Step(#step)),
            Quantize::Bits { bits, low, high } => quote! {
                #model::words::Quantize::Bits { bits: #bits, low: #low, high: #high }
            },
        });
        let ephemeral =
            ephemeral.map(|micros| quote!(::core::time::Duration::from_micros(#micros)));
        let [quantize, round, ephemeral] = [option(quantize), option(*round), option(ephemeral)];
        quote! {
            #model::words::Words {
                quantize: #quantize,
                round: #round,
                redundant: #redundant,
                ephemeral: #ephemeral,
                interpolate: #interpolate,
            }
        }
    }
}

/// An option as an expression.
fn option(value: Option<impl ToTokens>) -> TokenStream {
    value.map_or_else(
        || quote!(::core::option::Option::None),
        |value| quote!(::core::option::Option::Some(#value)),
    )
}

/// Refuses a word that is given something.
fn flag(item: &Meta) -> syn::Result<()> {
    if matches!(item, Meta::Path(_)) {
        return Ok(());
    }
    let name = item.path().to_token_stream();
    Err(syn::Error::new_spanned(item, format!("`{name}` stands alone")))
}

/// Reads `word = NUMBER`.
fn positive(item: &Meta, example: &str) -> syn::Result<f64> {
    let name = item.path().to_token_stream();
    let Meta::NameValue(pair) = item else {
        let message = format!("expected `{name} = {example}`");
        return Err(syn::Error::new_spanned(item, message));
    };
    let number = number(&pair.value)?;
    if number > 0.0 {
        return Ok(number);
    }
    Err(syn::Error::new_spanned(&pair.value, format!("`{name}` is above 0")))
}

/// Reads `ephemeral = SECONDS`.
fn read_ephemeral(item: &Meta) -> syn::Result<u64> {
    const MOST: f64 = 1e9;
    let seconds = positive(item, "2.0")?;
    if !(1e-6..=MOST).contains(&seconds) {
        let message = "`ephemeral` is from a microsecond to 1,000,000,000 seconds";
        return Err(syn::Error::new_spanned(item, message));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within what was checked"
    )]
    Ok((seconds * 1e6).round() as u64)
}

/// Reads `quantize = STEP` or `quantize(bits = BITS, range = LOW..=HIGH)`.
fn read_quantize(item: &Meta) -> syn::Result<Quantize> {
    const EXAMPLES: &str = "expected `quantize = 0.01` or \
                            `quantize(bits = 10, range = -1.0..=1.0)`";
    let list = match item {
        Meta::NameValue(_) => return positive(item, "0.01").map(Quantize::Step),
        Meta::List(list) => list,
        Meta::Path(_) => return Err(syn::Error::new_spanned(item, EXAMPLES)),
    };
    let items = list
        .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
        .map_err(|_| syn::Error::new_spanned(item, EXAMPLES))?;
    let (mut bits, mut range) = (None, None);
    for item in &items {
        let twice = match item {
            Meta::NameValue(pair) if pair.path.is_ident("bits") => {
                bits.replace(read_bits(&pair.value)?).is_some()
            }
            Meta::NameValue(pair) if pair.path.is_ident("range") => {
                range.replace(read_range(&pair.value)?).is_some()
            }
            _ => return Err(syn::Error::new_spanned(item, EXAMPLES)),
        };
        if twice {
            return Err(syn::Error::new_spanned(item, "given twice"));
        }
    }
    let (Some(bits), Some((low, high))) = (bits, range) else {
        return Err(syn::Error::new_spanned(item, EXAMPLES));
    };
    Ok(Quantize::Bits { bits, low, high })
}

/// The number of bits.
fn read_bits(expression: &Expr) -> syn::Result<u8> {
    let bits = match expression {
        Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) => literal.base10_parse().ok(),
        _ => None,
    };
    bits.filter(|bits| (1..=24).contains(bits))
        .ok_or_else(|| syn::Error::new_spanned(expression, "`bits` is a literal from 1 to 24"))
}

/// The ends of a range.
fn read_range(expression: &Expr) -> syn::Result<(f64, f64)> {
    let Expr::Range(ExprRange {
        start: Some(low),
        limits: RangeLimits::Closed(_),
        end: Some(high),
        ..
    }) = expression
    else {
        let message = "expected both ends: `range = -1.0..=1.0`";
        return Err(syn::Error::new_spanned(expression, message));
    };
    let (low, high) = (number(low)?, number(high)?);
    if low < high {
        return Ok((low, high));
    }
    Err(syn::Error::new_spanned(expression, "the first end of `range` is below the other"))
}

/// A number, as a literal.
fn number(expression: &Expr) -> syn::Result<f64> {
    let number: Option<f64> = match expression {
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => {
            return number(expr).map(|number| -number);
        }
        Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) => literal.base10_parse().ok(),
        Expr::Lit(ExprLit { lit: Lit::Float(literal), .. }) => literal.base10_parse().ok(),
        _ => None,
    };
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| syn::Error::new_spanned(expression, "expected a number, as a literal"))
}
