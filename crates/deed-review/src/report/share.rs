//! Shares of a whole.

/// `part` of `whole` in percent, to a tenth, rounded down: only all of it is `100 %`, and only nothing is `0 %`.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    match (tenths / 10, tenths % 10) {
        (0, 0) if part > 0 => "< 0.1 %".to_owned(),
        (percent, 0) => format!("{percent} %"),
        (percent, tenth) => format!("{percent}.{tenth} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn only_all_of_it_is_a_hundred() {
        assert_eq!(share(0, 0), "-");
        assert_eq!(share(0, 3), "0 %");
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(3, 3), "100 %");
        assert_eq!(share(999_999, 1_000_000), "99.9 %");
        assert_eq!(share(1, 1_000_000), "< 0.1 %");
        assert_eq!(share(u64::MAX, u64::MAX), "100 %");
    }
}
