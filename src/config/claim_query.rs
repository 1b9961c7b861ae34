//! `{ query: … }` of `issuer.claims`: one statement, with a `?` wherever it means the user's id.

use super::mistake::MistakeKind;
use super::model::{ClaimQuery, FilePlace, Users};
use super::users;
use super::walk::{Node, Section};

const QUERY: &str =
    "one statement with a \"?\" for the user's id, such as SELECT plan FROM accounts WHERE user_id = ?";
/// More than anybody writes into such a file.
const LONGEST_QUERY: usize = 8 << 10;

/// Reads the section of a claim, whose key `query` is `node`. `users` are where the issuer's live.
pub(super) fn read(section: &Section<'_, '_>, node: &Node<'_>, users: Option<&Users>) -> Option<ClaimQuery> {
    let pieces = node.parse(QUERY, pieces);
    let list = section.optional("list", Node::boolean).unwrap_or(false);
    let database = match (section.key("database"), users) {
        (Some(node), _) => users::database(&node),
        (None, Some(Users::Django(django))) => Some(django.database.clone()),
        // What is wrong with them is said already.
        (None, None) => None,
        (None, Some(_)) => section.node().refuse_key(
            MistakeKind::Missing("database"),
            Some("only users of `users.django` have a database that is asked by default".to_owned()),
        ),
    };
    Some(ClaimQuery {
        pieces: pieces?,
        database: database?,
        list,
        place: FilePlace(section.node().shown_place()),
    })
}

/// What stands around the `?` of one statement. Those in texts, quoted names and comments are none.
fn pieces(text: &str) -> Option<Vec<String>> {
    let text = text.trim_start().trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    let mut pieces = Vec::new();
    let (mut piece, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '?' => {
                pieces.push(std::mem::take(&mut piece));
                rest = &rest[1..];
                continue;
            }
            // A second statement would begin.
            ';' => return None,
            '\'' | '"' | '`' => rest[1..].find(first)? + 2,
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest[2..].find("*/")? + 4,
            first => first.len_utf8(),
        };
        let (taken, left) = rest.split_at(end);
        piece.push_str(taken);
        rest = left;
    }
    pieces.push(piece);
    let is_sound =
        text.len() <= LONGEST_QUERY && !text.chars().any(|c| c.is_control() && !"\n\r\t".contains(c));
    (pieces.len() > 1 && is_sound).then_some(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ClaimSource;

    #[test]
    fn a_question_mark_is_the_user_unless_it_is_part_of_a_text_a_name_or_a_comment() {
        for (text, expected) in [
            ("SELECT a FROM t WHERE b = ?", &["SELECT a FROM t WHERE b = ", ""][..]),
            (" SELECT ?, ? ; ;\n", &["SELECT ", ", ", ""]),
            ("SELECT '?''?' WHERE u=?", &["SELECT '?''?' WHERE u=", ""]),
            ("SELECT \"a?\", `b;` WHERE u=?", &["SELECT \"a?\", `b;` WHERE u=", ""]),
            ("SELECT 1 -- why?;\nWHERE u=?", &["SELECT 1 -- why?;\nWHERE u=", ""]),
            ("SELECT /* ?; */ ? -- end?", &["SELECT /* ?; */ ", " -- end?"]),
            ("SELECT 'ä' || ?", &["SELECT 'ä' || ", ""]),
        ] {
            assert_eq!(
                pieces(text).as_deref(),
                Some(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
            );
        }
    }

    #[test]
    fn what_is_not_one_statement_about_a_user_is_none() {
        let long = format!("SELECT ? /* {} */", "x".repeat(LONGEST_QUERY));
        for text in [
            "",
            "?'",
            "SELECT 1",
            "SELECT '?'",
            "SELECT ?; DELETE FROM t",
            "SELECT /* ?",
            "SELECT ?\0",
            &long,
        ] {
            assert_eq!(pieces(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_database_of_django_s_users_is_asked_by_default() {
        let read = |users: &str| {
            let file = format!("issuer: {{ users: {users}, claims: {{ plan: {{ query: 'SELECT ?' }} }} }}");
            crate::config::read_text(&file, std::path::Path::new("gateway.yaml"), &|_| None)
        };
        let config = read("{ django: { database: 'sqlite://site.db' } }").expect("valid");
        let Some((_, ClaimSource::Query(query))) = config.issuer.map(|mut issuer| issuer.claims.remove(0))
        else {
            panic!("no query")
        };
        assert_eq!(query.database.to_string(), "sqlite://site.db");
        let place = query.place.to_string();
        assert!(place.starts_with("gateway.yaml:1:") && place.ends_with(": issuer.claims.plan"), "{place}");
        let mistakes = read("own").expect_err("users of no database").to_string();
        assert!(mistakes.contains("issuer.claims.plan: \"database\" is missing"), "{mistakes}");
    }

    proptest! {
        #[test]
        fn nothing_of_a_statement_is_lost(text in "(\\PC|[?;'\"`\n/*-]){0,60}") {
            if let Some(pieces) = pieces(&text) {
                prop_assert!(text.contains(&pieces.join("?")));
            }
        }
    }
}
