//! The address of a server. The driver knows `sslmode` up to `require` and no certificates, so
//! these two options are read here and taken out.

use std::ops::Range;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::SetupError;

/// How a connection is secured, in libpq's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Security {
    /// Not at all.
    Clear,
    /// Nobody listens; who answers is not checked (`require` without certificates).
    Encrypted,
    /// Whoever answers has a certificate signed by one of these (`verify-ca`, and `require` with
    /// certificates).
    Signed(PathBuf),
    /// And it is for the host of the address (`verify-full`).
    Named(PathBuf),
}

/// An address without the options about TLS, and what they said.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) rest: String,
    pub(super) security: Security,
}

/// A setting and where it stands in the text.
struct Setting {
    name: String,
    value: String,
    place: Range<usize>,
}

impl Address {
    /// Reads a URL or libpq's `name=value` form.
    pub(super) fn read(text: &str) -> Result<Self, SetupError> {
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let options = if is_url { of_url(text) } else { of_pairs(text)? };
        let (mut rest, mut mode, mut certificates) = (text.to_owned(), None, None);
        // From the end, so that places before stay what they are.
        for option in options.into_iter().rev() {
            let kept = match option.name.as_str() {
                "sslmode" => &mut mode,
                "sslrootcert" => &mut certificates,
                _ => continue,
            };
            kept.get_or_insert(option.value);
            rest.replace_range(option.place, "");
        }
        let security = security(mode.as_deref(), certificates.map(PathBuf::from))?;
        Ok(Self { rest, security })
    }
}

fn security(mode: Option<&str>, certificates: Option<PathBuf>) -> Result<Security, SetupError> {
    let wrong = |text: String| Err(SetupError::Unsupported(text));
    match (mode, certificates) {
        (None | Some("disable"), None) => Ok(Security::Clear),
        (None | Some("disable"), Some(_)) => wrong(
            "sslrootcert is given, but the connection would be in the clear: add \
             sslmode=verify-full"
                .to_owned(),
        ),
        (Some("require"), None) => Ok(Security::Encrypted),
        (Some("require" | "verify-ca"), Some(file)) => Ok(Security::Signed(file)),
        (Some("verify-full"), Some(file)) => Ok(Security::Named(file)),
        (Some(mode @ ("verify-ca" | "verify-full")), None) => wrong(format!(
            "sslmode={mode} needs sslrootcert=FILE: the certificates to trust, as PEM"
        )),
        (Some(mode @ ("allow" | "prefer")), _) => wrong(format!(
            "sslmode={mode} promises nothing: say disable, require, verify-ca or verify-full"
        )),
        (Some(other), _) => wrong(format!(
            "sslmode={other} is not known: say disable, require, verify-ca or verify-full"
        )),
    }
}

/// The options behind the question mark; each with the `&` before or behind it.
fn of_url(text: &str) -> Vec<Setting> {
    // As the driver reads it: up to the first `@` is who, and may hold a question mark.
    let who = text.find('@').map_or(0, |at| at + 1);
    let Some(begin) = text[who..].find('?').map(|at| who + at + 1) else { return Vec::new() };
    let (mut options, mut at) = (Vec::new(), begin);
    for pair in text[begin..].split('&') {
        let end = at + pair.len();
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let behind = (end + 1).min(text.len());
        options.push(Setting { name: decoded(name), value: decoded(value), place: at..behind });
        at = end + 1;
    }
    options
}

/// The options of `name=value name='quoted value'`.
fn of_pairs(text: &str) -> Result<Vec<Setting>, SetupError> {
    let wrong = || {
        // Never the text: it may hold a password.
        let text = "the database address is neither postgres://… nor name=value pairs";
        SetupError::Unsupported(text.to_owned())
    };
    let (mut options, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let begin = text.len() - rest.len();
        let (name, behind) = rest.split_once('=').ok_or_else(wrong)?;
        let (value, behind) = value(behind.trim_start()).ok_or_else(wrong)?;
        rest = behind.trim_start();
        let place = begin..text.len() - rest.len();
        options.push(Setting { name: name.trim().to_owned(), value, place });
    }
    Ok(options)
}

/// A value, quoted or up to the next space, and what is behind it. A backslash takes the next
/// character as it is.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let (mut value, mut letters) = (String::new(), text.char_indices());
    if quoted {
        letters.next();
    }
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            space if space.is_whitespace() && !quoted => return Some((value, &text[at..])),
            other => value.push(other),
        }
    }
    (!quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, rest: &str, security: Security) {
        let address = Address::read(text).unwrap();
        assert_eq!((address.rest.as_str(), address.security), (rest, security));
        // What is left is for the driver, which knows the other options.
        rest.parse::<tokio_postgres::Config>().unwrap();
    }

    fn refused(text: &str) -> String {
        let error = Address::read(text).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        error
    }

    #[test]
    fn options_about_tls_are_taken_out_of_a_url() {
        let base = "postgres://app:hunter2@db:5432/truth";
        let file = || PathBuf::from("/etc/db ca.pem");
        check(base, base, Security::Clear);
        check(&format!("{base}?sslmode=disable"), &format!("{base}?"), Security::Clear);
        check(&format!("{base}?sslmode=require"), &format!("{base}?"), Security::Encrypted);
        check(
            &format!("{base}?connect_timeout=5&sslmode=verify-full&sslrootcert=/etc/db%20ca.pem"),
            &format!("{base}?connect_timeout=5&"),
            Security::Named(file()),
        );
        check(
            &format!("{base}?sslrootcert=/etc/db%20ca.pem&sslmode=require&application_name=a"),
            &format!("{base}?application_name=a"),
            Security::Signed(file()),
        );
        // A password may hold what ends a host.
        let odd = "postgresql://app:hunter2?sslmode=x@db/truth";
        check(&format!("{odd}?sslmode=require"), &format!("{odd}?"), Security::Encrypted);
    }

    #[test]
    fn options_about_tls_are_taken_out_of_pairs() {
        let file = || PathBuf::from("/etc/db's ca.pem");
        check("host=db user=app", "host=db user=app", Security::Clear);
        check(
            "host=db sslmode = verify-ca sslrootcert='/etc/db\\'s ca.pem' password='a b'",
            "host=db password='a b'",
            Security::Signed(file()),
        );
        check(
            "sslmode=verify-full host=db  sslrootcert=/etc/db\\'s\\ ca.pem",
            "host=db  ",
            Security::Named(file()),
        );
    }

    #[test]
    fn what_would_not_be_safe_is_refused() {
        let base = "postgres://app:hunter2@db/truth?sslmode=";
        assert!(refused(&format!("{base}verify-full")).contains("sslrootcert=FILE"));
        assert!(refused(&format!("{base}prefer")).contains("promises nothing"));
        assert!(refused(&format!("{base}on")).contains("is not known"));
        assert!(refused(&format!("{base}disable&sslrootcert=a.pem")).contains("in the clear"));
        assert!(refused("host=db password=hunter2 sslrootcert=a.pem").contains("in the clear"));
        for text in ["hunter2", "host=db password='hunter2", "host=db password=hunter2\\"] {
            assert!(refused(text).contains("neither"));
        }
    }
}
