//! Keeps the rows of the folders: a folder of `src/` imports only from rows below its own, as `ARCHITECTURE.md`
//! draws them. The compiler would let imports in one crate go in circles unseen.
//!
//! Reads the paths in the source text (`use crate::a::b`, `use crate::{a, b}`, `crate::a::b(…)` in code, `super::`
//! chains that leave the folder) after comments and literals are blanked out. `lib.rs`, which names all folders, is exempt.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Each folder of `src/` (or file, for `main.rs`) with its row.
const ROWS: &[(&str, u8)] = &[
    ("base", 0),
    ("telemetry", 1),
    ("config", 2),
    ("http", 2),
    ("egress", 3),
    ("import", 3),
    ("jwt", 3),
    ("store", 4),
    ("providers", 5),
    ("revocations", 5),
    ("upstream", 5),
    ("issuer", 6),
    ("gateway", 7),
    ("admin", 8),
    ("server", 9),
    ("cli", 10),
    // One room with `cli`, whose only caller it is.
    ("main", 11),
];

#[test]
fn each_folder_imports_only_from_rows_below_its_own() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(
        files.len() > 10,
        "only {} files below {}: is this the right folder?",
        files.len(),
        source.display()
    );

    let mut mistakes = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let path = file.strip_prefix(&source).unwrap();
        mistakes.extend(check(path, &text).into_iter().map(|mistake| mistake.to_string()));
    }
    assert!(mistakes.is_empty(), "imports against the rows:\n{}", mistakes.join("\n"));
}

/// An import that the rows forbid.
#[derive(Debug, PartialEq, Eq)]
struct Mistake {
    file: PathBuf,
    line: usize,
    importer: String,
    imported: String,
    reason: Reason,
}

#[derive(Debug, PartialEq, Eq)]
enum Reason {
    /// The folder that is imported from is in the importer's own row, or above it.
    NotBelow,
    /// A folder that [`ROWS`] does not know.
    Unplaced,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, importer, imported, reason } = self;
        write!(f, "src/{}:{line}: ", file.display())?;
        match reason {
            Reason::NotBelow => {
                write!(f, "`{importer}` may not import from `{imported}`, which is not below it")
            }
            Reason::Unplaced if importer == imported => write!(f, "`{importer}` has no row; give it one"),
            Reason::Unplaced => write!(f, "`{importer}` imports from `{imported}`, which has no row"),
        }
    }
}

/// The mistakes of one file, whose path is relative to `src/`.
fn check(path: &Path, text: &str) -> Vec<Mistake> {
    let module = module_of(path);
    let Some(importer) = module.first() else { return Vec::new() };
    let mistake = |line, imported: &str, reason| Mistake {
        file: path.to_owned(),
        line,
        importer: importer.clone(),
        imported: imported.to_owned(),
        reason,
    };
    let Some(own_row) = row(importer) else { return vec![mistake(1, importer, Reason::Unplaced)] };

    imports(&module, text, path == Path::new("main.rs"))
        .into_iter()
        .filter(|(_, imported)| imported != importer)
        .filter_map(|(line, imported)| match row(&imported) {
            Some(row) if row < own_row => None,
            Some(_) => Some(mistake(line, &imported, Reason::NotBelow)),
            None => Some(mistake(line, &imported, Reason::Unplaced)),
        })
        .collect()
}

fn row(folder: &str) -> Option<u8> {
    ROWS.iter().find(|(name, _)| *name == folder).map(|(_, row)| *row)
}

/// The module path of a file: `jwt/verify.rs` is `[jwt, verify]`, `jwt/mod.rs` is `[jwt]`, `lib.rs` is empty.
fn module_of(path: &Path) -> Vec<String> {
    let mut module: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|part| part.to_str().expect("file names here are UTF-8").to_owned())
        .collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

/// The folders that a file's paths lead to, each with the line. The binary reaches the library by its name.
fn imports(module: &[String], text: &str, is_binary: bool) -> Vec<(usize, String)> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    // How many `mod x {` are open, each with the depth of braces where it closes: `super` there is the file's module.
    let mut depth = 0_usize;
    let mut inline: Vec<usize> = Vec::new();

    for (at, token) in tokens.iter().enumerate() {
        let previous = at.checked_sub(1).map(|before| tokens[before].text);
        match token.text {
            "{" => {
                if at >= 2 && tokens[at - 2].text == "mod" {
                    inline.push(depth);
                }
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|opened_at| *opened_at == depth);
            }
            // `::crate` does not exist, and `foo::super` neither: a path starts here.
            "crate" if previous != Some("::") => heads_after(&tokens, at + 1, &mut found),
            "tollgate" if is_binary && previous != Some("::") => heads_after(&tokens, at + 1, &mut found),
            "super" if previous != Some("::") => {
                let mut up = 1;
                let mut end = at + 1;
                while text_at(&tokens, end) == "::" && text_at(&tokens, end + 1) == "super" {
                    up += 1;
                    end += 2;
                }
                // Only a chain that ends at the crate's root reaches other folders.
                if up == module.len() + inline.len() {
                    heads_after(&tokens, end, &mut found);
                }
            }
            _ => {}
        }
    }
    found
}

/// The first segment of each path after a root: of `::a::b` it is `a`, of `::{a::b, c}` they are `a` and `c`.
fn heads_after(tokens: &[Token<'_>], at: usize, found: &mut Vec<(usize, String)>) {
    if text_at(tokens, at) != "::" {
        return;
    }
    if text_at(tokens, at + 1) != "{" {
        if let Some(head) = tokens.get(at + 1) {
            found.push((head.line, head.text.to_owned()));
        }
        return;
    }
    let mut depth = 0;
    for pair in tokens[at + 1..].windows(2) {
        match pair[0].text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
        if depth == 1 && matches!(pair[0].text, "{" | ",") && pair[1].text != "}" {
            found.push((pair[1].line, pair[1].text.to_owned()));
        }
    }
}

struct Token<'t> {
    text: &'t str,
    line: usize,
}

fn text_at<'t>(tokens: &[Token<'t>], at: usize) -> &'t str {
    tokens.get(at).map_or("", |token| token.text)
}

/// Words, `::` and single marks; no comments, no literals.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or_else(|| {
            let length = if rest.starts_with("::") {
                2
            } else if first.is_alphanumeric() || first == '_' {
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                tokens.push(Token { text: &rest[..length], line });
            }
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// The length of the comment or literal that starts here, if one does.
fn skipped(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|after| {
            after.starts_with('"')
                || (prefix.ends_with('r') && after.trim_start_matches('#').starts_with('"'))
        })
    });
    if let Some(prefix) = prefix {
        let after = &rest[prefix.len()..];
        let hashes = after.len() - after.trim_start_matches('#').len();
        if prefix.ends_with('r') {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = prefix.len() + hashes + 1;
            return Some(rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len()));
        }
        return Some(prefix.len() + quoted(after, '"'));
    }
    // A character, not a lifetime: `'x'` or `'\…'`.
    let mut chars = rest.strip_prefix('\'')?.chars();
    match (chars.next()?, chars.next()) {
        ('\\', _) | (_, Some('\'')) => Some(quoted(rest, '\'')),
        _ => Some(1),
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of a literal with escapes, both marks included.
fn quoted(rest: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == mark => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The checker itself, on files that do not exist.
mod checker {
    use super::*;

    #[track_caller]
    fn assert_forbidden(path: &str, text: &str, expected: &[(usize, &str)]) {
        let found: Vec<(usize, String)> = check(Path::new(path), text)
            .into_iter()
            .map(|mistake| (mistake.line, mistake.imported))
            .collect();
        let expected: Vec<(usize, String)> =
            expected.iter().map(|(line, folder)| (*line, (*folder).to_owned())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn takes_imports_from_below_and_from_the_own_folder() {
        assert_forbidden("jwt/verify.rs", "use crate::base::Secret;\nuse crate::jwt::keys::Key;", &[]);
        assert_forbidden("jwt/verify.rs", "use super::keys::Key;\nuse super::super::base::Secret;", &[]);
    }

    #[test]
    fn refuses_an_import_from_above() {
        assert_forbidden("jwt/verify.rs", "use std::fmt;\nuse crate::gateway::Snapshot;", &[(2, "gateway")]);
    }

    #[test]
    fn refuses_an_import_from_a_neighbour_in_the_same_row() {
        assert_forbidden("upstream/pool.rs", "use crate::providers::Provider;", &[(1, "providers")]);
    }

    #[test]
    fn refuses_each_wrong_member_of_a_group() {
        let text =
            "use crate::{\n    base::{Secret, issuer},\n    issuer::{Tokens, server},\n    server,\n};";
        assert_forbidden("store/mod.rs", text, &[(3, "issuer"), (4, "server")]);
    }

    #[test]
    fn refuses_a_path_inside_code_and_macros() {
        assert_forbidden("base/unit.rs", "fn f() { dbg!(crate::store::open()) }", &[(1, "store")]);
        assert_forbidden("base/unit.rs", "pub(in crate::http) fn f() {}", &[(1, "http")]);
    }

    #[test]
    fn refuses_a_super_chain_that_leaves_the_folder_upwards() {
        assert_forbidden("config/mod.rs", "use super::gateway::Route;", &[(1, "gateway")]);
        assert_forbidden("config/read/tls.rs", "use super::super::super::server::Tls;", &[(1, "server")]);
        let nested = "mod tests {\n    use super::super::super::server;\n}\nuse super::super::admin;";
        assert_forbidden("config/read.rs", nested, &[(2, "server"), (4, "admin")]);
    }

    #[test]
    fn reads_super_in_an_inline_module_as_the_file_itself() {
        assert_forbidden("config/mod.rs", "mod tests {\n    use super::server::listener;\n}", &[]);
    }

    #[test]
    fn reads_no_comments_and_no_literals() {
        let text = "// crate::server\n/* crate::server /* crate::admin */ */\n\
                    const A: &str = \"crate::server \\\" crate::admin\";\n\
                    const B: &str = r#\"\" crate::server\"#;\nconst C: char = '\"';\nfn f<'a>(_: &'a str) {}\n\
                    use crate::server;";
        assert_forbidden("base/text.rs", text, &[(7, "server")]);
    }

    #[test]
    fn lets_the_binary_reach_the_library_by_name() {
        assert_forbidden("main.rs", "use tollgate::cli;\nuse tollgate::utils;", &[(2, "utils")]);
    }

    #[test]
    fn refuses_a_folder_without_a_row() {
        assert_forbidden("utils/mod.rs", "", &[(1, "utils")]);
        assert_forbidden("server/mod.rs", "use crate::utils::now;", &[(1, "utils")]);
    }

    #[test]
    fn exempts_the_library_root() {
        assert_forbidden("lib.rs", "pub mod base;\npub use crate::server::run;", &[]);
    }
}
