//! Which pages may send what only this machine, or who is known, may ask.
//!
//! A browser on this machine sends requests for whatever page it has open, so sitting here is not enough. A page of ours is one that was
//! loaded by address or from `localhost`: any other name could have been made to point here. Where a password or a certificate was given,
//! the name is good as well, because a browser gives neither to a name for which it does not have them.

use warp::http::{HeaderMap, HeaderName, StatusCode, header};

use super::json::ApiError;

/// Lets through what comes from no page, from a page of this server, or from one that is allowed.
pub(super) fn check(
    headers: &HeaderMap,
    allowed: &[String],
    is_authenticated: bool,
) -> Result<(), ApiError> {
    let text = |name: HeaderName| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let is_allowed = |origin: &str| {
        allowed
            .iter()
            .any(|allowed| allowed == "*" || allowed == origin)
    };
    let is_trusted = |authority| is_authenticated || is_unmistakable(authority);
    let host = text(header::HOST);
    match text(header::ORIGIN) {
        Some(origin) if is_allowed(origin) => Ok(()),
        Some(origin) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            if authority.is_some() && authority == host && is_trusted(authority) {
                return Ok(());
            }
            let detail = "a page of another origin may not do this";
            Err(forbidden(
                detail,
                "add the origin to web.cors_allowed_origins",
            ))
        }
        // Not every request of a page says where it comes from, but all say whom they believe to ask.
        None if host.is_none() || is_trusted(host) || is_allowed("*") => Ok(()),
        None => {
            let detail = "only this machine's address or localhost may be asked for this";
            Err(forbidden(
                detail,
                "send the request to 127.0.0.1 or localhost",
            ))
        }
    }
}

/// Whether an authority (`host` or `host:port`) is an address or `localhost`.
fn is_unmistakable(authority: Option<&str>) -> bool {
    let url = authority.map(|authority| url::Url::parse(&format!("http://{authority}")));
    url.is_some_and(|url| match url.as_ref().map(url::Url::host) {
        Ok(Some(url::Host::Domain(name))) => name == "localhost",
        Ok(Some(url::Host::Ipv4(_) | url::Host::Ipv6(_))) => true,
        Ok(None) | Err(_) => false,
    })
}

fn forbidden(detail: &str, help: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, detail, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(headers: &[(HeaderName, &'static str)], allowed: &[&str]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let allowed: Vec<String> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        check(&headers.collect(), &allowed, false).is_ok()
    }

    #[test]
    fn pages_of_other_names_are_refused() {
        const EVIL: &str = "http://evil.example:10113";
        let from = |origin, host| [(header::ORIGIN, origin), (header::HOST, host)];
        let to = |host| [(header::HOST, host)];
        assert!(passes(&[], &[]));
        for host in [
            "127.0.0.1:10113",
            "localhost:10113",
            "localhost",
            "[::1]:10113",
        ] {
            assert!(passes(&to(host), &[]), "{host}");
        }
        for host in [
            "evil.example:10113",
            "evil.example",
            "",
            "localhost.evil.example",
        ] {
            assert!(!passes(&to(host), &[]), "{host}");
        }
        assert!(passes(
            &from("http://localhost:10113", "localhost:10113"),
            &[]
        ));
        assert!(!passes(
            &from("http://localhost:3000", "localhost:10113"),
            &[]
        ));
        assert!(
            !passes(&from(EVIL, "evil.example:10113"), &[]),
            "a name that was made to point here"
        );
        assert!(!passes(&from(EVIL, "127.0.0.1:10113"), &[]));
        assert!(passes(&from(EVIL, "127.0.0.1:10113"), &[EVIL]));
        assert!(passes(&from(EVIL, "127.0.0.1:10113"), &["*"]));
    }

    #[test]
    fn who_is_known_may_use_any_name_but_no_other_page() {
        let passes = |origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            check(&headers, &[], true).is_ok()
        };
        let name = "shop-1.example.org:10113";
        assert!(passes(None, name));
        assert!(passes(Some("https://shop-1.example.org:10113"), name));
        for other in ["https://evil.example", "https://shop-1.example.org", "null"] {
            assert!(!passes(Some(other), name), "{other}");
        }
    }
}
