//! What was taken out of a result, and whether it stands elsewhere in it.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use serde_json::{Number, Value};

use super::{BLOCKED, skeleton::Skeleton};

/// Values shorter than this stand in any text by chance.
const TELLING: usize = 3;
/// Values of fewer letters and digits are known only as they are written: in other words they stand by chance.
const FORMATTED: usize = 5;
/// Those of fewer are known in another formatting only as words of their own.
const LONG: usize = 9;
/// Longer values are known by so many of their first characters.
const KNOWN: usize = 256;
/// The most bytes of values, each of them once, that are looked for in one result.
const MOST: usize = 4 << 20;

/// Values that a text must not repeat.
pub(super) struct Values {
    /// As they are written, in lower case.
    written: AhoCorasick,
    /// By their letters and digits.
    skeletons: AhoCorasick,
    /// How each of those may stand in a text.
    shapes: Vec<Shape>,
}

/// How a skeleton may stand in a text to be the value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Anywhere,
    Words,
    /// Words that are groups of digits.
    Groups,
}

impl Values {
    /// What is in `taken`; `None` where that is more than can be looked for.
    pub(super) fn read(taken: &[Value]) -> Option<Self> {
        let mut forms = Forms::default();
        taken.iter().try_for_each(|value| forms.add(value))?;
        let shapes = forms.skeletons.iter().map(|skeleton| Shape::of(skeleton)).collect();
        let written = AhoCorasick::new(&forms.written).ok()?;
        Some(Values { written, skeletons: AhoCorasick::new(&forms.skeletons).ok()?, shapes })
    }

    /// Whether there is none: whatever is known in another formatting is long enough to be known as it is written.
    pub(super) fn is_empty(&self) -> bool {
        self.written.patterns_len() == 0
    }

    /// Whether `text`, `lower` in lower case, repeats one.
    pub(super) fn are_in(&self, text: &str, lower: &str) -> bool {
        !self.is_empty() && (self.written.is_match(lower) || self.are_formatted_in(text))
    }

    /// Whether `number` repeats one that is long enough to be no other number of the same digits.
    pub(super) fn are_shown_by(&self, number: &Number) -> bool {
        self.shapes.contains(&Shape::Anywhere) && {
            let shown = number.to_string();
            self.skeletons
                .find_overlapping_iter(&shown)
                .any(|found| self.shapes[found.pattern()] == Shape::Anywhere)
        }
    }

    /// Whether `text` repeats one in whatever formatting.
    pub(super) fn are_formatted_in(&self, text: &str) -> bool {
        if self.shapes.is_empty() {
            return false;
        }
        let skeleton = Skeleton::of(text);
        self.skeletons.find_overlapping_iter(&skeleton.text).any(|found| {
            let at = found.range();
            match self.shapes[found.pattern()] {
                Shape::Anywhere => true,
                Shape::Words => skeleton.is_words(&at),
                Shape::Groups => skeleton.is_words(&at) && skeleton.is_grouped(&at),
            }
        })
    }
}

impl Shape {
    fn of(skeleton: &str) -> Self {
        match skeleton {
            _ if skeleton.chars().count() >= LONG => Shape::Anywhere,
            _ if skeleton.chars().all(char::is_numeric) => Shape::Groups,
            _ => Shape::Words,
        }
    }
}

/// In what forms values are looked for, each of them once.
#[derive(Default)]
struct Forms {
    written: BTreeSet<String>,
    skeletons: BTreeSet<String>,
    bytes: usize,
}

impl Forms {
    fn add(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::String(text) if text == BLOCKED => Some(()),
            Value::String(text) => self.add_text(text, text),
            // Of a number with decimals, the whole part is what is written in groups.
            Value::Number(number) => {
                let shown = number.to_string();
                let whole = shown.split_once(['.', 'e']).map_or(&*shown, |(whole, _)| whole);
                self.add_text(&shown, whole)
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.add(item)),
            Value::Object(members) => members.values().try_for_each(|value| self.add(value)),
            Value::Null | Value::Bool(_) => Some(()),
        }
    }

    fn add_text(&mut self, written: &str, formatted: &str) -> Option<()> {
        let (written, skeleton) = (first(written.to_lowercase()), first(Skeleton::of(formatted).text));
        for (form, least, forms) in
            [(written, TELLING, &mut self.written), (skeleton, FORMATTED, &mut self.skeletons)]
        {
            let length = form.len();
            if form.chars().count() >= least && forms.insert(form) {
                self.bytes += length;
            }
        }
        (self.bytes <= MOST).then_some(())
    }
}

/// What a long value is known by.
fn first(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(KNOWN) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::json;

    use super::super::{Masked, mask};

    /// What becomes of a result in which `phone` is masked and `texts` stand beside it.
    fn beside(value: impl Into<serde_json::Value>, texts: &[&str]) -> Masked {
        let content: Vec<_> = texts.iter().map(|text| json!({ "type": "text", "text": text })).collect();
        let result = json!({ "content": content, "structuredContent": { "phone": value.into() } });
        mask(&result.to_string(), &["result.phone".to_owned()])
    }

    #[test]
    fn a_value_in_another_formatting_is_withheld() {
        for (value, text) in [
            ("4111111111111111", "Card 4111-1111-1111-1111 on file"),
            ("CH9300762011623852957", "Pays from CH93 0076 2011 6238 5295 7."),
            ("CH93 0076 2011 6238 5295 7", "Pays from CH9300762011623852957."),
            ("079 123 45 67", "tel 079\u{a0}123\u{a0}45\u{a0}67"),
            ("079 123 45 67", "tel 0791234567"),
            ("555-01-99", "tel 555 01 99, or 555\u{2011}01\u{2011}99"),
            ("555-01-99", "tel ５５５\u{ad}０１９９"),
            ("O'Brien & Sons", "O&#39;Brien &amp; Sons"),
            ("Söhne", "the S&ouml;hne"),
            ("Müller", "Mu\u{308}ller"),
            ("Zoë Straße", "customer ZOË STRASSE"),
            ("Bahnhofstrasse 1\n8001 Zürich", "lives at Bahnhofstrasse 1, 8001 Zürich"),
            ("Bahnhofstrasse 1\n8001 Zürich", "<p>Bahnhofstrasse 1<br>8001 Z&uuml;rich</p>"),
            ("a_b_c@example.com", "mail a\\_b\\_c@example.com"),
            ("120000.50", "CHF 120'000.50"),
        ] {
            assert_eq!(beside(value, &[text]), Masked::Withheld, "{value}: {text}");
        }
        for text in [
            "120,000",
            "1\u{1d173}2\u{1d173}0\u{1d173}000",
            "CHF120'000.-",
            "120 000",
            "120.000,00",
            "120\u{202f}000",
            "1.2e5 or 120,000",
        ] {
            assert_eq!(beside(120_000, &[text]), Masked::Withheld, "{text}");
            assert_eq!(beside(120_000.5, &[text]), Masked::Withheld, "{text}");
        }
        let repeated = |value: u64| {
            let result = json!({ "phone": value, "other": { "tel": value } });
            mask(&result.to_string(), &["result.phone".to_owned()])
        };
        assert_eq!(repeated(5_550_199_771), Masked::Withheld);
        assert!(matches!(repeated(120_000), Masked::Without(_, 1)), "any number may be of so few digits");
    }

    #[test]
    fn a_value_over_several_texts_is_withheld() {
        assert_eq!(beside("555-0199-77", &["tel 555-0199", "-77"]), Masked::Withheld);
        assert_eq!(beside("Müller", &["Mr. Mül", "ler"]), Masked::Withheld);
        assert_eq!(beside("secret", &["the pho", "ne: 5"]), Masked::Withheld, "a name as well");
        let lines = json!({
            "lines": ["Bahnhofstrasse 1", "8001 Zürich"],
            "phone": "Bahnhofstrasse 1, 8001 Zürich",
        });
        assert_eq!(mask(&lines.to_string(), &["result.phone".to_owned()]), Masked::Withheld);
        let rows =
            json!({ "rows": [{ "text": r#"{"phone":"55501"}"# }, { "text": r#"{"phone":"55502"}"# }] });
        assert!(matches!(mask(&rows.to_string(), &["result.phone".to_owned()]), Masked::Without(_, 2)));
    }

    #[test]
    fn what_only_looks_alike_is_left_as_it_is() {
        for (value, text) in [
            ("4711", "47 11 or 4,711"),
            ("100000", "1,0,0,0,0,0 and 31000 00 digits of 9100,000"),
            ("Braun", "b raunen, abra und"),
            ("DE-99", "de 99"),
        ] {
            let texts = [text, "7 < 8 &amp; more", "\u{feff}é e\u{301}"];
            let Masked::Without(heard, 1) = beside(value, &texts) else { panic!("{value}: {text}") };
            let heard: serde_json::Value = serde_json::from_str(&heard).expect("JSON");
            for (at, text) in texts.iter().enumerate() {
                assert_eq!(heard["content"][at]["text"], *text);
            }
        }
    }

    #[test]
    fn more_values_than_can_be_looked_for_are_withheld() {
        let rows = |many: u32| {
            let rows: Vec<_> = (0..many).map(|at| json!({ "phone": format!("{at:0250}") })).collect();
            mask(&json!(rows).to_string(), &["result.phone".to_owned()])
        };
        assert!(matches!(rows(1000), Masked::Without(_, 1000)));
        assert_eq!(rows(9000), Masked::Withheld);
    }

    /// `value` with something else between its groups, in another case and width, decomposed, or in escapes.
    fn formatted(value: &str, between: &[&str], style: u8) -> String {
        let mut gaps = between.iter().cycle();
        let text: String = value
            .split('-')
            .flat_map(|group| [group, gaps.next().unwrap_or(&"")])
            .collect::<Vec<_>>()
            .concat();
        let escaped = |escape: fn(char) -> String| text.chars().map(escape).collect();
        match style {
            0 => text.to_uppercase(),
            1 => escaped(|c| match c {
                '!'..='~' => char::from_u32(c as u32 + 0xfee0).into_iter().collect(),
                c => c.into(),
            }),
            2 => unicode_normalization::UnicodeNormalization::nfd(&*text).collect(),
            3 => escaped(|c| format!("&#{};", c as u32)),
            4 => escaped(|c| format!("&#x{:X};", c as u32)),
            5 => text.bytes().map(|byte| format!("%{byte:02x}")).collect(),
            6 => json!(text).to_string().replace('é', "\\u00e9"),
            7 => text.split_inclusive(' ').collect::<Vec<_>>().join("<br/>"),
            _ => text,
        }
    }

    proptest! {
        #[test]
        fn no_formatting_of_a_value_comes_through(
            groups in vec("[a-zé0-9]{2,6}", 3..6),
            between in vec(prop::sample::select(vec!["", " ", "-", ".", ", ", "\u{a0}", "\u{2011}", "'", "\n", "/", "\u{ad}"]), 1..4),
            style in 0..9_u8,
            (before, after) in ("([A-Z][a-z]{1,8} ){0,3}", "( [a-z]{1,8}){0,3}"),
            cut in any::<prop::sample::Index>(),
        ) {
            let value = groups.join("-");
            let long = value.chars().filter(|c| *c != '-').count() >= super::LONG;
            prop_assume!(long);
            let text = format!("{before}{}{after}", formatted(&value, &between, style));
            prop_assert_eq!(beside(&*value, &[&text]), Masked::Withheld, "{}", text);
            // Cut in two, as long as no character is, nor an escape.
            if matches!(style, 0..=2 | 8) {
                let at = text.char_indices().map(|(at, _)| at).nth(cut.index(text.chars().count()));
                let (one, two) = text.split_at(at.unwrap_or_default());
                prop_assert_eq!(beside(&*value, &[one, two]), Masked::Withheld, "{} | {}", one, two);
            }
        }

        #[test]
        fn numbers_in_groups_do_not_come_through(number in 10_000..u64::MAX, between in prop::sample::select(vec![",", ".", "'", "\u{2019}", " ", "\u{a0}", "\u{202f}", "_"])) {
            let digits = number.to_string();
            let (head, tail) = digits.split_at(digits.len() % 3);
            let mut groups: Vec<&str> = if head.is_empty() { Vec::new() } else { vec![head] };
            groups.extend((0..tail.len() / 3).map(|at| &tail[at * 3..at * 3 + 3]));
            let text = format!("costs CHF {}.", groups.join(between));
            prop_assert_eq!(beside(number, &[&text]), Masked::Withheld, "{}", text);
        }

        #[test]
        fn other_text_is_left_byte_for_byte(text in "[A-Ya-y \u{a0}<>&;%=é\u{301}０-９,.'\n-]{0,200}") {
            prop_assume!(!text.contains("phone"));
            let Masked::Without(heard, 1) = beside("zzz-zzz-zzz-42", &[&text, "more"]) else {
                // A run of letters may look as base64 of anything.
                return Err(TestCaseError::reject("opaque"));
            };
            let heard: serde_json::Value = serde_json::from_str(&heard).expect("JSON");
            prop_assert_eq!(heard["content"][0]["text"].as_str(), Some(&*text));
        }
    }
}
