//! The attribute `#[plugin]` of `nri-plugin`, written over plain tokens: a plugin's build should not pay for a
//! parser of the whole language.

use proc_macro::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};

/// Lists the handlers that an `impl Plugin for X` has: they are what the plugin subscribes to.
///
/// ```
/// use nri_plugin::{Plugin, Result, StopContainer, Update};
///
/// struct Quiet;
///
/// #[nri_plugin::plugin]
/// impl Plugin for Quiet {
///     fn stop_container(&self, _request: &StopContainer) -> Result<Vec<Update>> {
///         Ok(Vec::new())
///     }
/// }
///
/// assert_eq!(<Quiet as nri_plugin::Handlers>::HANDLERS, ["stop_container"]);
/// ```
///
/// It leaves the block as it is and adds an `impl nri_plugin::Handlers` for the same type. A handler behind
/// `#[cfg]` is listed behind the same `#[cfg]`.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let addition = if arguments.is_empty() { handlers(&item) } else { Err("it takes no arguments") };
    match addition {
        Ok(addition) => item.into_iter().chain(addition).collect(),
        Err(why) => error(&format!("#[nri_plugin::plugin]: {why}")).chain(item).collect(),
    }
}

/// The header of an `impl` block, cut into its pieces.
struct Header {
    /// `impl` and its generics.
    start: Vec<TokenTree>,
    /// `for`, the type and the where clause.
    end: Vec<TokenTree>,
}

/// `impl<G> Trait for Type where W { BODY }` gives `impl<G> ::nri_plugin::Handlers for Type where W { const … }`.
fn handlers(item: &TokenStream) -> Result<Vec<TokenTree>, &'static str> {
    let tokens: Vec<TokenTree> = item.clone().into_iter().collect();
    let Some((TokenTree::Group(body), header)) = tokens.split_last() else {
        return Err(NO_IMPL);
    };
    if body.delimiter() != Delimiter::Brace {
        return Err(NO_IMPL);
    }
    let header = cut(header)?;
    let names = names(body.stream());
    let mut addition = header.start;
    addition.extend(tokens_of("::nri_plugin::Handlers"));
    addition.extend(header.end);
    let mut constant: Vec<TokenTree> = tokens_of("const HANDLERS: &'static [&'static str] = &");
    constant.push(Group::new(Delimiter::Bracket, names).into());
    constant.push(Punct::new(';', Spacing::Alone).into());
    addition.push(Group::new(Delimiter::Brace, constant.into_iter().collect()).into());
    Ok(addition)
}

const NO_IMPL: &str = "write it above an `impl Plugin for …` block";

fn cut(header: &[TokenTree]) -> Result<Header, &'static str> {
    let start = header.iter().position(|token| is_word(token, "impl")).ok_or(NO_IMPL)?;
    let generics = match header.get(start + 1) {
        Some(token) if is_sign(token, '<') => angle_end(header, start + 1).ok_or(NO_IMPL)?,
        _ => start + 1,
    };
    let mut at = generics;
    while let Some(token) = header.get(at) {
        if is_word(token, "for") {
            let attributes = header.get(..start).unwrap_or_default();
            let cfgs = attributes.chunks(2).filter(|pair| is_cfg(pair)).flatten();
            let block = header.get(start..generics).unwrap_or_default();
            return Ok(Header {
                start: cfgs.chain(block).cloned().collect(),
                end: header.get(at..).unwrap_or_default().to_vec(),
            });
        }
        at = if is_sign(token, '<') { angle_end(header, at).ok_or(NO_IMPL)? } else { at + 1 };
    }
    Err(NO_IMPL)
}

/// The place after the `>` that closes the `<` at `from`; the `>` of an arrow closes nothing.
fn angle_end(tokens: &[TokenTree], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut arrow = false;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        if is_sign(token, '<') {
            depth += 1;
        } else if is_sign(token, '>') && !arrow {
            depth -= 1;
            if depth == 0 {
                return Some(at + 1);
            }
        }
        arrow = is_sign(token, '-');
    }
    None
}

/// The names after `fn` at the top of the body, as string literals, each with its `#[cfg]`s, separated by commas.
fn names(body: TokenStream) -> TokenStream {
    let mut list = Vec::new();
    let mut cfgs: Vec<TokenTree> = Vec::new();
    let mut tokens = body.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if is_sign(&token, '#') {
            if let Some(group @ TokenTree::Group(_)) = tokens.peek() {
                let pair = [token, group.clone()];
                if is_cfg(&pair) {
                    cfgs.extend(pair);
                }
            }
        } else if is_word(&token, "fn") {
            if let Some(TokenTree::Ident(name)) = tokens.peek() {
                list.append(&mut cfgs);
                let name = name.to_string();
                list.push(proc_macro::Literal::string(name.trim_start_matches("r#")).into());
                list.push(Punct::new(',', Spacing::Alone).into());
            }
        } else if ends_item(&token) {
            cfgs.clear();
        }
    }
    list.into_iter().collect()
}

fn ends_item(token: &TokenTree) -> bool {
    is_sign(token, ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn is_cfg(pair: &[TokenTree]) -> bool {
    let [hash, TokenTree::Group(group)] = pair else { return false };
    let first = group.stream().into_iter().next();
    is_sign(hash, '#')
        && group.delimiter() == Delimiter::Bracket
        && first.is_some_and(|token| is_word(&token, "cfg"))
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}

fn is_sign(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// Tokens of a text that is known to be well formed.
fn tokens_of(text: &str) -> Vec<TokenTree> {
    text.parse::<TokenStream>().into_iter().flatten().collect()
}

fn error(text: &str) -> impl Iterator<Item = TokenTree> {
    let argument = TokenTree::from(proc_macro::Literal::string(text));
    let argument = Group::new(Delimiter::Parenthesis, TokenStream::from(argument));
    [
        TokenTree::from(Ident::new("compile_error", Span::call_site())),
        Punct::new('!', Spacing::Alone).into(),
        argument.into(),
        Punct::new(';', Spacing::Alone).into(),
    ]
    .into_iter()
}
