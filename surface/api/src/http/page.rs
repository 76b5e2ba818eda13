//! Pages: sizes, and tokens that only fit the list that gave them out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oag_types::{Code, Digest};

use super::problem::{Answer, Failure};
use crate::config::ApiConfig;

const CHECK_BYTES: usize = 8;

/// A list with its filters; tokens of one list do not fit another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListScope(String);

impl ListScope {
    /// A list of a tenant, with the filters that shape it.
    pub(crate) fn new(list: &str, tenant: &oag_types::Tenant, filters: &[Option<&str>]) -> Self {
        let mut text = format!("{list}\n{tenant}");
        for filter in filters {
            text.push('\n');
            text.push_str(filter.unwrap_or("\u{0}"));
        }
        Self(text)
    }

    /// The token for the page after `after`.
    pub(crate) fn token(&self, after: &str) -> String {
        let mut bytes = self.check(after).to_vec();
        bytes.extend_from_slice(after.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token stands for.
    pub(crate) fn after(&self, token: &str) -> Answer<String> {
        let wrong = || {
            let text = "use next_page_token of this list with the same filters, as it was given";
            Failure::new(Code::BAD_PAGE_TOKEN, text)
        };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let (check, after) = bytes.split_at_checked(CHECK_BYTES).ok_or_else(wrong)?;
        let after = std::str::from_utf8(after).map_err(|_| wrong())?;
        if check != self.check(after) {
            return Err(wrong());
        }
        Ok(after.to_owned())
    }

    fn check(&self, after: &str) -> [u8; CHECK_BYTES] {
        let digest = Digest::of(format!("oag-page-1\n{}\n\n{after}", self.0).as_bytes());
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&digest.as_bytes()[..CHECK_BYTES]);
        check
    }
}

/// The size of a page: the configured one, or the wanted one within bounds.
pub(crate) fn page_size(config: &ApiConfig, wanted: Option<usize>) -> Answer<usize> {
    match wanted {
        None => Ok(config.page_size),
        Some(0) => Err(Failure::field("page_size", "must be at least 1")),
        Some(size) => Ok(size.min(config.page_size_max)),
    }
}

#[cfg(test)]
mod tests {
    use oag_types::Tenant;

    use super::*;

    #[test]
    fn a_token_fits_its_own_list_only() {
        let tenant = Tenant::default_tenant();
        let plans = ListScope::new("plans", &tenant, &[Some("queued"), None]);
        let token = plans.token("pln_1");
        assert_eq!(plans.after(&token).unwrap(), "pln_1");
        for other in [
            ListScope::new("plans", &tenant, &[None, None]),
            ListScope::new("plans", &tenant, &[None, Some("queued")]),
            ListScope::new("stories", &tenant, &[Some("queued"), None]),
            ListScope::new("plans", &"other".parse().unwrap(), &[Some("queued"), None]),
        ] {
            assert_eq!(other.after(&token).unwrap_err().code(), Code::BAD_PAGE_TOKEN);
        }
        for bad in ["", "x", "pln_1", "AAAAAAAAAAAAAAAA", "订单"] {
            assert_eq!(plans.after(bad).unwrap_err().code(), Code::BAD_PAGE_TOKEN, "{bad}");
        }
    }
}
