//! What both derives read alike: names, the path of the crate, ids; and errors, all at once.

use quote::ToTokens;
use syn::{Attribute, Expr, ExprLit, Generics, Lit, LitStr, Meta, MetaNameValue, Path, Token};
use syn::{ext::IdentExt as _, parse_quote, punctuated::Punctuated};

/// Everything that is wrong with an input, in the order of finding.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// Adds an error that points at `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl AsRef<str>) {
        self.push(syn::Error::new_spanned(tokens, message.as_ref()));
    }

    /// Adds an error.
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// The value, or its error added.
    pub(crate) fn take<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// All errors as one, if there is any.
    pub(crate) fn finish(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }

    /// Refuses generic parameters.
    pub(crate) fn no_generics(&mut self, what: &str, generics: &Generics) {
        if !generics.params.is_empty() {
            self.at(&generics.params, format!("a {what} has no generic parameters"));
        }
    }
}

/// What a container attribute says that both derives know.
#[derive(Default)]
pub(crate) struct Container {
    name: Option<LitStr>,
    path: Option<Path>,
}

impl Container {
    /// Reads `name = ".."` and `crate = ".."` of the attributes called `word`, and gives every
    /// other item to `other`, which answers whether it knows it.
    pub(crate) fn read(
        word: &str,
        attributes: &[Attribute],
        errors: &mut Errors,
        mut other: impl FnMut(&Meta, &mut Errors) -> bool,
    ) -> Self {
        let mut container = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(word)) {
            let items = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
            for item in errors.take(items).into_iter().flatten() {
                let known = match &item {
                    Meta::NameValue(pair) => container.read_pair(pair, errors),
                    Meta::Path(_) | Meta::List(_) => false,
                };
                if !known && !other(&item, errors) {
                    let name = item.path().to_token_stream();
                    errors.at(&item, format!("`{name}` is not supported in `#[{word}(..)]`"));
                }
            }
        }
        container
    }

    /// Reads one `word = ".."`; answers whether it is known.
    fn read_pair(&mut self, pair: &MetaNameValue, errors: &mut Errors) -> bool {
        let is_name = pair.path.is_ident("name");
        if !is_name && !pair.path.is_ident("crate") {
            return false;
        }
        let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else {
            errors.at(&pair.value, "expected a string literal");
            return true;
        };
        let twice = if is_name {
            if text.value().is_empty() {
                errors.at(text, "the name is empty");
            }
            self.name.replace(text.clone()).is_some()
        } else {
            let path = text
                .parse_with(Path::parse_mod_style)
                .map_err(|_| syn::Error::new_spanned(text, "expected a path"));
            errors.take(path).is_some_and(|path| self.path.replace(path).is_some())
        };
        if twice {
            errors.at(pair, "given twice");
        }
        true
    }

    /// The name in documents: that of the attribute, or `identifier`.
    pub(crate) fn name(&self, identifier: &syn::Ident) -> String {
        self.name.as_ref().map_or_else(|| identifier.unraw().to_string(), LitStr::value)
    }

    /// Where `parlor::proto::model` is.
    pub(crate) fn model_path(&self) -> Path {
        match &self.path {
            Some(path) => parse_quote!(#path::proto::model),
            None => parse_quote!(::parlor::proto::model),
        }
    }
}

/// The number of a property id.
///
/// # Errors
///
/// When it is no integer literal, or not from 1 to 65,535.
pub(crate) fn parse_id(expression: &Expr) -> syn::Result<u16> {
    let Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) = expression else {
        let message = "a property id is an integer literal from 1 to 65535";
        return Err(syn::Error::new_spanned(expression, message));
    };
    match literal.base10_parse::<u16>() {
        Ok(0) => {
            let message = "property id 0 is reserved for the model of models";
            Err(syn::Error::new_spanned(literal, message))
        }
        Ok(id) => Ok(id),
        Err(_) => {
            let message = "property id out of range: 1 to 65535";
            Err(syn::Error::new_spanned(literal, message))
        }
    }
}
