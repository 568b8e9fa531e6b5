//! What holds of the repository as a whole, checked on every `cargo test`: the module graph, the
//! size budget, the dependencies and the text of the files.
#![expect(clippy::unwrap_used, reason = "a failing test is a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::semver::{Version, VersionReq};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use toml::Table;

use self::Uses::{Above, Only};

/// Whom the modules of a line may use, beside themselves and their children.
enum Uses {
    /// Every line above.
    Above,
    /// These modules and their children, all from lines above.
    Only(&'static [&'static str]),
}

/// The library's modules. A module brings its children with it, but those that have a line of their
/// own.
///
/// Reading down the list is reading the dependency order: nothing refers to a later line, and
/// modules that share a line do not refer to each other. A line may wait for its module.
/// Binaries are not here: they are crates of their own, and see what is public.
const LAYERS: &[(&[&str], Uses)] = &[
    (&["proto::time"], Above),
    (&["proto::bucket", "proto::id"], Above),
    (&["proto::audio"], Above),
    (&["proto::proof", "proto::token"], Above),
    (&["proto::authorisation", "proto::reason", "proto::service"], Above),
    (&["proto::state"], Above),
    (&["proto::model"], Above),
    (&["proto::config"], Above),
    (&["proto::event"], Above),
    (&["proto::wire"], Above),
    (&["proto::clock", "proto::statistics", "proto::feed"], Above),
    (&["proto::change"], Above),
    (&["proto::authorship", "proto::base"], Above),
    (&["proto::table"], Above),
    (&["proto::ownership"], Above),
    // From a table to a base: of the base's module, it alone sees a table.
    (&["proto::guard", "proto::base::walk"], Above),
    (&["proto::log"], Above),
    (&["proto::document", "proto::delta", "proto::cut", "proto::draft", "proto::image"], Above),
    (&["proto::lane", "proto::motion", "proto::channel", "proto::dialogue"], Above),
    (&["proto::datastore"], Above),
    (&["proto::peer", "proto::hub", "proto::lobby"], Above),
    (&["realtime::timeline"], Only(&["proto::model"])),
    (&["realtime"], Above),
    (&["audio"], Only(&["proto"])),
    // The wall: no tokio, no libp2p and no files above this line.
    (&["store"], Only(&["proto"])),
    (&["sim", "net"], Only(&["proto", "store"])),
    (&["device"], Only(&["audio", "proto", "net"])),
    (&["room"], Only(&["audio", "proto", "net", "store"])),
    (&["lobby"], Only(&["proto", "net", "room"])),
];

/// Modules that only declare and re-export what is inside them; `""` is `lib.rs`. Theirs are the
/// names for those outside: inside, a module is named where it is.
const FACADES: &[&str] = &["", "proto"];

/// Macros that are exported: `macro_rules` puts them at the crate's root, wherever they are written.
const MACROS: &[&str] = &["property_field"];

/// Lines of a file, with its documentation and without its inline tests.
const MAX_LINES: usize = 500;

/// Directories of things that were made here and are not kept.
const MADE: &[&str] = &[".git", "target", "corpus", "artifacts", "coverage"];

/// Parts of paths that exist on somebody's machine only.
const PRIVATE: &[&str] = &[concat!("/", "work/"), concat!("/", "root/")];

#[test]
fn modules_only_use_the_layers_above_them() {
    let (modules, mut violations) = modules("src/lib.rs");
    for (module, used) in &modules {
        if !FACADES.contains(&module.as_str()) && line_of(module).is_none() {
            violations.push(format!("{module} is in no layer"));
        }
        violations.extend(
            used.iter()
                .filter(|used| !MACROS.contains(&used.as_str()) && !may_use(module, used))
                .map(|used| format!("{module} uses {used}")),
        );
    }
    assert!(violations.is_empty(), "see LAYERS: {violations:#?}");
}

#[test]
fn layers_only_list_layers_above_them() {
    for (line, (modules, uses)) in LAYERS.iter().enumerate() {
        let Only(listed) = uses else { continue };
        for used in *listed {
            let below = LAYERS[line..]
                .iter()
                .flat_map(|(modules, _)| *modules)
                .any(|layer| within(layer, used));
            assert!(!below, "{modules:?} may use {used}, which is not above");
        }
    }
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    let text = r#"
        //! Of crate::comment, or "crate::text".
        use crate::{a::{self, b::C as D}, e::*};
        use super::{f, super::g::H};
        pub(in crate::hidden) fn i(j: &self::k::L) { crate::m::n::<crate::o::P>("crate::text") }
        macro_rules! q { () => { $crate::r::S } }
        mod inner { use super::super::t; }
        #[cfg(test)]
        mod tests { use crate::hidden::U; }
        mod declared;
    "#;
    let mut seen = Names::default();
    seen.read(text.parse().unwrap(), "x::y");
    let used: Vec<_> = seen.used.iter().map(String::as_str).collect();
    let expected =
        ["a", "a::b::C", "e", "g::H", "m::n", "o::P", "r::S", "x::f", "x::t", "x::y::k::L"];
    assert_eq!(used, expected);
    assert_eq!(seen.declared, ["x::y::declared"]);
}

#[test]
fn files_stay_small() {
    let long: BTreeMap<_, _> = files("src")
        .into_iter()
        .chain(files("derive/src"))
        .chain(files("bevy/src"))
        .filter(|path| has_extension(path, &["rs"]))
        .map(|path| {
            let lines = lines_without_tests(&read(&path));
            (path, lines)
        })
        .filter(|&(_, lines)| lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "split these, or raise MAX_LINES and say why: {long:#?}");
}

#[test]
fn dependencies_are_what_deny_toml_allows() {
    let rules: Table = read("deny.toml").parse().unwrap();
    let denied = rules["bans"]["deny"].as_array().unwrap();
    assert!(!denied.is_empty(), "deny.toml names no versions");
    for lock in ["Cargo.lock", "benches/oracle/Cargo.lock", "fuzz/Cargo.lock"] {
        let lock: Table = read(lock).parse().unwrap();
        for package in lock["package"].as_array().unwrap() {
            let name = package["name"].as_str().unwrap();
            let version: Version = package["version"].as_str().unwrap().parse().unwrap();
            for rule in denied.iter().filter(|rule| rule["name"] == package["name"]) {
                let range = rule.get("version").map_or("*", |range| range.as_str().unwrap());
                let refused = VersionReq::parse(range).unwrap().matches(&version);
                assert!(!refused, "{name} {version}: {}", rule["reason"]);
            }
            if let Some(source) = package.get("source") {
                let registry = &rules["sources"]["allow-registry"][0];
                let expected = format!("registry+{}", registry.as_str().unwrap());
                assert_eq!(source.as_str().unwrap(), expected, "{name} {version}");
            }
        }
    }
}

#[test]
fn the_feature_for_everywhere_has_all_but_the_device() {
    let manifest: Table = read("Cargo.toml").parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    let others = ["default", "device", "portable"];
    let expected: Vec<_> = features.keys().filter(|it| !others.contains(&it.as_str())).collect();
    let listed = features["portable"].as_array().unwrap().iter();
    assert_eq!(listed.map(|it| it.as_str().unwrap()).collect::<Vec<_>>(), expected);
}

#[test]
fn sources_are_ascii() {
    let others: Vec<_> = files(".")
        .into_iter()
        .filter(|path| has_extension(path, &["rs", "toml"]))
        .filter(|path| !(path.starts_with("tests") && path.components().count() > 2))
        .filter(|path| !read(path).is_ascii())
        .collect();
    assert!(others.is_empty(), "not only ASCII: {others:#?}");
}

#[test]
fn files_name_no_private_machine() {
    let private: Vec<_> = files(".")
        .into_iter()
        .filter(|path| {
            let bytes = fs::read(root().join(path)).unwrap();
            str::from_utf8(&bytes).is_ok_and(|text| PRIVATE.iter().any(|word| text.contains(word)))
        })
        .collect();
    assert!(private.is_empty(), "{PRIVATE:?} in {private:#?}");
}

/// The line of a module, and the layer there that it belongs to.
fn line_of(module: &str) -> Option<(usize, &'static str)> {
    let layers = LAYERS.iter().enumerate();
    let layers =
        layers.flat_map(|(line, (layers, _))| layers.iter().map(move |layer| (line, *layer)));
    layers.filter(|(_, layer)| within(module, layer)).max_by_key(|(_, layer)| layer.len())
}

fn may_use(module: &str, used: &str) -> bool {
    if FACADES.contains(&module) {
        return within(used, module);
    }
    let Some((line, layer)) = line_of(module) else {
        return true; // reported as in no layer
    };
    within(used, layer)
        || match LAYERS[line].1 {
            Above => line_of(used).is_some_and(|(other, _)| other < line),
            Only(listed) => listed.iter().any(|allowed| within(used, allowed)),
        }
}

fn within(path: &str, module: &str) -> bool {
    module.is_empty()
        || path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every module that is reached from a crate's root and what it uses, and complaints about files
/// that are missing or never reached.
fn modules(crate_root: &str) -> (BTreeMap<String, BTreeSet<String>>, Vec<String>) {
    let directory = Path::new(crate_root).parent().unwrap();
    let mut unread: BTreeSet<_> = files(directory)
        .into_iter()
        .filter(|path| has_extension(path, &["rs"]) && !path.starts_with(directory.join("bin")))
        .collect();
    let mut complaints = Vec::new();
    let mut modules = BTreeMap::new();
    let mut pending = vec![String::new()];
    while let Some(module) = pending.pop() {
        let path = match module.as_str() {
            "" => PathBuf::from(crate_root),
            module => directory.join(module.replace("::", "/") + ".rs"),
        };
        if !unread.remove(&path) {
            complaints.push(format!("{module} has no {}", path.display()));
            continue;
        }
        let mut names = Names::default();
        names.read(read(path).parse().unwrap(), &module);
        pending.append(&mut names.declared);
        // Tests use what they like.
        for tests in names.tests {
            let tests = directory.join(tests.replace("::", "/"));
            unread.retain(|path| !path.starts_with(&tests) && *path != tests.with_extension("rs"));
        }
        modules.insert(module, names.used);
    }
    complaints.extend(unread.iter().map(|path| format!("{} is in no module", path.display())));
    (modules, complaints)
}

/// What the text of a module names.
#[derive(Default)]
struct Names {
    /// Paths from the crate's root: modules, or things in them.
    used: BTreeSet<String>,
    /// Modules in files of their own.
    declared: Vec<String>,
    /// The same, for tests only.
    tests: Vec<String>,
}

impl Names {
    /// Reads token by token, so that a path counts wherever it stands: in a `use`, in a type, in
    /// an expression or in a macro; and comments and strings do not count.
    fn read(&mut self, text: TokenStream, module: &str) {
        let tokens: Vec<_> = text.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += self.step(&tokens[at..], module);
        }
    }

    fn step(&mut self, tokens: &[TokenTree], module: &str) -> usize {
        let word = |at: usize| match tokens.get(at) {
            Some(TokenTree::Ident(word)) => word.to_string(),
            _ => String::new(),
        };
        match (word(0).as_str(), &tokens[0], tokens.get(1), tokens.get(2)) {
            ("mod", _, _, Some(TokenTree::Punct(_))) => {
                self.declared.push(join(module, &word(1)));
                3
            }
            ("mod", _, _, Some(TokenTree::Group(body))) => {
                self.read(body.stream(), &join(module, &word(1)));
                3
            }
            // How far something is seen is not a use.
            ("pub", _, Some(TokenTree::Group(_)), _) => 2,
            ("crate" | "self" | "super" | "parlor", ..) if separator(&tokens[1..]) => {
                self.path(tokens, module)
            }
            (_, TokenTree::Punct(_), Some(TokenTree::Group(attribute)), _)
                if attribute.to_string().replace(' ', "") == "[cfg(test)]" =>
            {
                2 + self.skip(&tokens[2..], module)
            }
            (_, TokenTree::Group(group), ..) => {
                self.read(group.stream(), module);
                1
            }
            _ => 1,
        }
    }

    /// Reads a path or a tree of them that begins in `prefix`. Returns its length.
    fn path(&mut self, tokens: &[TokenTree], prefix: &str) -> usize {
        let mut path = prefix.to_owned();
        let mut at = 0;
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(word)) => match word.to_string().as_str() {
                    "self" => {}
                    "super" => path.truncate(path.rfind("::").unwrap_or(0)),
                    "crate" => path.clear(),
                    "parlor" if at == 0 => path.clear(),
                    word => path = join(&path, word),
                },
                Some(TokenTree::Group(tree)) if tree.delimiter() == Delimiter::Brace => {
                    let tree: Vec<_> = tree.stream().into_iter().collect();
                    for branch in tree.split(|token| is(token, ',')) {
                        self.path(branch, &path);
                    }
                    return at + 1;
                }
                Some(token) if is(token, '*') => {}
                _ => break,
            }
            if !separator(&tokens[at + 1..]) {
                at += 1;
                break;
            }
            at += 3;
        }
        // A trailing comma leaves an empty branch.
        if at > 0 {
            self.used.insert(path);
        }
        at
    }

    /// Passes over a test. Returns its length.
    fn skip(&mut self, tokens: &[TokenTree], module: &str) -> usize {
        let end = tokens.iter().position(|token| match token {
            TokenTree::Group(body) => body.delimiter() == Delimiter::Brace,
            token => is(token, ';'),
        });
        let end = end.map_or(tokens.len(), |end| end + 1);
        if let [.., TokenTree::Ident(word), TokenTree::Ident(name), last] = &tokens[..end]
            && word == "mod"
            && is(last, ';')
        {
            self.tests.push(join(module, &name.to_string()));
        }
        end
    }
}

fn join(module: &str, name: &str) -> String {
    match module {
        "" => name.to_owned(),
        module => format!("{module}::{name}"),
    }
}

fn is(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [first, second, ..] if is(first, ':') && is(second, ':'))
}

fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<_> = text.lines().collect();
    (0..lines.len())
        .find(|&at| {
            let mut item = lines[at..].iter().skip_while(|line| line.starts_with("#["));
            lines[at] == "#[cfg(test)]" && item.next().is_some_and(|item| item.starts_with("mod "))
        })
        .unwrap_or(lines.len())
}

/// The files of the repository inside `directory`, by their paths from the root.
fn files(directory: impl AsRef<Path>) -> Vec<PathBuf> {
    let mut pending = vec![root().join(directory)];
    let mut found = Vec::new();
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if MADE.iter().any(|made| entry.file_name() == *made) {
                continue;
            }
            if path.is_dir() {
                pending.push(path);
            } else {
                found.push(path.strip_prefix(root()).unwrap().components().collect());
            }
        }
    }
    found.sort();
    found
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).map_err(|error| (path, error)).unwrap()
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    extensions.iter().any(|extension| path.extension().is_some_and(|found| found == *extension))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
