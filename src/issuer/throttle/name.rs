//! Under which name a login is counted: one for all spellings that a place of users may take for the same.
//!
//! Many databases and directories compare without case, accents, width or outer blanks (MySQL's collations, RFC 4518),
//! and would give one account as many allowances as it has spellings. What is folded here is more than any of them
//! folds alone; two accounts whose names fold to one share their allowances.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// A name as it is counted. Only [`Folded::new`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Folded(String);

impl Folded {
    /// Decomposed (NFKD), without marks, control and format characters, without case, and with single blanks between
    /// words.
    pub(super) fn new(name: &str) -> Self {
        let letters: String = name.nfkd().filter_map(counted).flat_map(without_case).collect();
        Self(letters.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
    }
}

/// A character of a decomposed name, or a blank for it.
fn counted(c: char) -> Option<char> {
    if c.is_whitespace() {
        return Some(' ');
    }
    let is_unseen = c.general_category_group() == GeneralCategoryGroup::Mark
        || matches!(c.general_category(), GeneralCategory::Control | GeneralCategory::Format);
    (!is_unseen).then_some(c)
}

/// By way of the capital letters, so that both forms of sigma become one, ß becomes ss, and the dotless i an i.
fn without_case(c: char) -> impl Iterator<Item = char> {
    c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fold(name: &str) -> String {
        Folded::new(name).0
    }

    #[test]
    fn spellings_that_databases_and_directories_take_for_the_same_fold_to_one() {
        for (name, spellings) in [
            (
                "ada",
                &[
                    "ADA",
                    "adá",
                    "ÄDÅ",
                    "a\u{301}d\u{323}\u{307}a",
                    "ＡＤＡ",
                    "ⓐⓓⓐ",
                    "𝐚𝐝𝐚",
                    " ada\t",
                    "\u{a0}ada\u{3000}",
                    "a\u{200d}d\u{200b}a\u{feff}",
                    "a\u{ad}d\u{e0061}\u{fe0f}a",
                    "a\u{7}d\u{9f}a",
                ][..],
            ),
            ("ada lovelace", &["Ada  Lovelace", "ada\u{2003}\n lovelace", "ada \u{200b} lovelace"]),
            ("strasse", &["Straße", "STRAẞE", "ſtraſſe"]),
            ("οδοσ", &["ΟΔΟΣ", "οδος", "ὁδός"]),
            ("istanbul", &["İstanbul", "ıstanbul", "ISTANBUL"]),
            ("fiance", &["ﬁancé"]),
            ("", &["\u{301}", " ", "\u{200b}"]),
        ] {
            for spelling in spellings {
                assert_eq!(fold(spelling), name, "{spelling:?}");
            }
        }
    }

    #[test]
    fn other_letters_stay_other_letters() {
        for (one, other) in
            [("ada", "adb"), ("ada", "ad-a"), ("ada", "аda"), ("ad a", "ada"), ("山田", "山本")]
        {
            assert_ne!(fold(one), fold(other));
        }
    }

    #[test]
    fn no_letter_folds_further_when_it_is_folded_again() {
        for c in ('\0'..='\u{1ffff}').chain('\u{e0000}'..='\u{e0fff}') {
            let once = fold(&format!("a{c}b"));
            assert_eq!(fold(&once), once, "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn a_folded_name_is_its_own_fold(name in any::<String>()) {
            let once = fold(&name);
            prop_assert_eq!(fold(&once), once.as_str());
            prop_assert!(!once.contains("  ") && once.trim() == once);
        }

        #[test]
        fn case_form_marks_and_blanks_make_no_other_name(
            words in prop::collection::vec("\\PC{1,8}", 1..4),
            unseen in "[\\p{Mn}\\p{Cf}\\p{Cc}&&[^\\s]]{0,4}",
            outer in "\\s{0,3}",
            inner in "\\s{1,3}",
        ) {
            let name = words.join(" ");
            let once = fold(&name);
            for form in [name.to_lowercase(), name.nfc().collect(), name.nfd().collect(), name.nfkc().collect()] {
                prop_assert_eq!(fold(&form), once.as_str(), "{:?}", form);
            }
            let marked: String = name.chars().flat_map(|c| [c.to_string(), unseen.clone()]).collect();
            prop_assert_eq!(fold(&marked), once.as_str(), "{:?}", marked);
            let spaced = format!("{outer}{}{outer}", words.join(&inner));
            prop_assert_eq!(fold(&spaced), once.as_str(), "{:?}", spaced);
        }
    }
}
