//! Ranges in the names of hosts: `web[01:50]`, `db-[a:f]`, with a step as third.

/// Most names that one pattern may stand for.
const NAMES_MAX: usize = 10_000;

/// The names that a pattern stands for.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('[') {
        let wrong = || format!("'{pattern}' has a '[' without ']'");
        let (range, after) = after.split_once(']').ok_or_else(wrong)?;
        let parts =
            values(range).ok_or_else(|| format!("'[{range}]' is no range such as [1:9]"))?;
        if names.len().saturating_mul(parts.len()) > NAMES_MAX {
            return Err(format!("'{pattern}' stands for more than {NAMES_MAX} hosts"));
        }
        let with = |name: &String| {
            let name = format!("{name}{before}");
            parts.iter().map(move |part| format!("{name}{part}")).collect::<Vec<_>>()
        };
        names = names.iter().flat_map(with).collect();
        rest = after;
    }
    if rest.contains(']') {
        return Err(format!("'{pattern}' has a ']' without '['"));
    }
    Ok(names.into_iter().map(|name| format!("{name}{rest}")).collect())
}

/// The values of `first:last` or `first:last:step`.
fn values(range: &str) -> Option<Vec<String>> {
    let mut parts = range.split(':');
    let (first, last) = (parts.next()?, parts.next()?);
    let step: usize = parts.next().map_or(Some(1), |text| text.parse().ok())?;
    if parts.next().is_some() || step == 0 {
        return None;
    }
    if let (Ok(from), Ok(to)) = (first.parse::<u32>(), last.parse::<u32>()) {
        // `01` means two digits in each.
        let width = if first.starts_with('0') { first.len() } else { 0 };
        let most = from.saturating_add(u32::try_from(NAMES_MAX).unwrap_or(u32::MAX));
        let numbers = (from..=to.min(most)).step_by(step);
        return (from <= to).then(|| numbers.map(|n| format!("{n:0width$}")).collect());
    }
    let (from, to) = (single(first)?, single(last)?);
    (from <= to).then(|| (from..=to).step_by(step).map(String::from).collect())
}

fn single(text: &str) -> Option<char> {
    let mut letters = text.chars();
    let letter = letters.next().filter(char::is_ascii_alphabetic)?;
    letters.next().is_none().then_some(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stand_for_names() {
        let of = |pattern: &str| expand(pattern).map(|names| names.join(" "));
        assert_eq!(of("plain"), Ok("plain".to_owned()));
        assert_eq!(of("w[08:11]"), Ok("w08 w09 w10 w11".to_owned()));
        assert_eq!(of("w[1:9:4].[a:b]"), Ok("w1.a w1.b w5.a w5.b w9.a w9.b".to_owned()));
        for wrong in ["w[1", "w1]", "w[2:1]", "w[1:2:0]", "w[x:1]", "w[1:20000]", "w[]"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
