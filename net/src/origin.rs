//! Which pages may open a session: the allow-list of `Origin` values (RFC 6454, RFC 6455 10.2).

/// The operator's allow-list; without one every origin passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    listed: Option<Box<[Box<str>]>>,
}

/// An entry of the allow-list that no browser would ever send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no origin: write scheme://host or scheme://host:port, without a path")]
pub struct OriginError(pub String);

impl Origins {
    /// No allow-list: any page may connect.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// An allow-list; entries are brought to the form in which browsers send them (lower case, no
    /// slash at the end, no default port). An empty list is no list.
    ///
    /// # Errors
    ///
    /// The first entry that is no origin.
    pub fn list<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginError> {
        let mut listed = Vec::new();
        for entry in entries.into_iter().map(str::trim).filter(|entry| !entry.is_empty()) {
            listed.push(canonical(entry).ok_or_else(|| OriginError(entry.to_owned()))?);
        }
        Ok(Self { listed: (!listed.is_empty()).then(|| listed.into_boxed_slice()) })
    }

    /// True where the handshake may go on. A missing `Origin` passes: servers send none. The
    /// comparison is of whole bytes, since browsers serialise an origin in one way only.
    #[must_use]
    pub fn allows(&self, origin: Option<&str>) -> bool {
        match (&self.listed, origin) {
            (None, _) | (_, None) => true,
            (Some(listed), Some(origin)) => listed.iter().any(|entry| **entry == *origin),
        }
    }
}

fn canonical(entry: &str) -> Option<Box<str>> {
    let lower = entry.strip_suffix('/').unwrap_or(entry).to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://")?;
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let host_fits = !authority.is_empty()
        && authority.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@*\\,".contains(&b));
    if !scheme_fits || !host_fits {
        return None;
    }
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    let authority = match default_port {
        "" => authority,
        port => authority.strip_suffix(port).unwrap_or(authority),
    };
    Some(format!("{scheme}://{authority}").into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_origin_passes_whatever_the_trick() {
        let origins =
            Origins::list(["https://App.example.com:443/", " http://localhost:8080 "]).unwrap();
        for good in [Some("https://app.example.com"), Some("http://localhost:8080"), None] {
            assert!(origins.allows(good), "{good:?}");
        }
        for bad in [
            "null",
            "",
            "https://app.example.com.evil.com",
            "https://app.example.com:444",
            "http://app.example.com",
            "https://App.Example.com",
            "https://evil.com",
            "https://app.example.com/",
        ] {
            assert!(!origins.allows(Some(bad)), "{bad}");
        }
    }

    #[test]
    fn without_a_list_every_page_passes() {
        assert!(Origins::any().allows(Some("https://anywhere.example")));
        assert_eq!(Origins::list(["", "  "]).unwrap(), Origins::any());
    }

    #[test]
    fn an_entry_that_no_browser_sends_is_refused() {
        for bad in ["*", "app.example.com", "https://", "https://a/b", "https://*.a.com", "://a"] {
            assert_eq!(Origins::list([bad]), Err(OriginError(bad.to_owned())));
        }
    }
}
