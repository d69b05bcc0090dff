//! `application/x-www-form-urlencoded`, strictly.

/// The pairs of a form, in order; `None` where an escape is broken or no UTF-8.
pub fn pairs(form: &str) -> Option<Vec<(String, String)>> {
    let pairs = form.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                // `from_str_radix` would take a sign.
                if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forms_and_refuses_broken_escapes() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let read = pairs("a=1+2%2b&b=%C3%A9&&c&d=x=y");
        let expected = vec![pair("a", "1 2+"), pair("b", "é"), pair("c", ""), pair("d", "x=y")];
        assert_eq!(read, Some(expected));
        for bad in ["a=%", "a=%2", "a=%zz", "a=%+1", "a=%ff", "a=%é"] {
            assert_eq!(pairs(bad), None, "{bad}");
        }
    }
}
