//! The pages that the binary carries: what Vite built into `web/dist` when the gateway was built.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

/// Path and bytes of each embedded file, as in `("phone/index.html", …)`.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// What the pages' route says where they are not there.
const NOT_BUILT: &str = "This gateway was built without its pages.\n\
    Build them and then the gateway again: npm ci && npm run build && cargo build\n\
    (make build does all of it).\n";

/// What a path answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    status: StatusCode,
    content_type: &'static str,
    cache_control: &'static str,
    body: &'static [u8],
}

/// The routes of all pages. A gateway without pages says how to build them, where people come in.
pub(crate) fn routes() -> Router {
    let pages = if FILES.is_empty() { vec![("/phone".to_owned(), MISSING)] } else { pages(FILES) };
    pages.into_iter().fold(Router::new(), |router, (path, page)| {
        router.route(&path, get(move || async move { answer(page) }))
    })
}

fn answer(page: Page) -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, page.content_type), (header::CACHE_CONTROL, page.cache_control)];
    (page.status, headers, page.body)
}

const MISSING: Page = Page {
    status: StatusCode::NOT_FOUND,
    content_type: "text/plain; charset=utf-8",
    cache_control: "no-store",
    body: NOT_BUILT.as_bytes(),
};

/// Each file at its own path, and an index at its folder's, with and without a slash.
fn pages(files: &[(&'static str, &'static [u8])]) -> Vec<(String, Page)> {
    let mut pages = Vec::new();
    for &(name, body) in files {
        let page = Page {
            status: StatusCode::OK,
            content_type: content_type(name),
            cache_control: cache_control(name),
            body,
        };
        pages.push((format!("/{name}"), page));
        if let Some(folder) = name.strip_suffix("index.html") {
            pages.push((format!("/{folder}"), page));
            if let Some(bare) = folder.strip_suffix('/') {
                pages.push((format!("/{bare}"), page));
            }
        }
    }
    pages
}

/// Vite names what is in `assets/` by its content; the rest may change with the next gateway.
fn cache_control(name: &str) -> &'static str {
    if name.starts_with("assets/") || name.contains("/assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "md" | "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &[(&str, &[u8])] =
        &[("assets/phone-4f2a.js", b"js"), ("favicon.svg", b"svg"), ("phone/index.html", b"phone")];

    fn at(path: &str) -> Option<Page> {
        pages(SOME).into_iter().find(|(of, _)| of == path).map(|(_, page)| page)
    }

    #[test]
    fn a_folder_shows_its_index_with_or_without_a_slash() {
        for path in ["/phone", "/phone/", "/phone/index.html"] {
            let page = at(path).unwrap();
            assert_eq!((page.status, page.body), (StatusCode::OK, b"phone".as_slice()), "{path}");
            assert_eq!(page.content_type, "text/html; charset=utf-8");
            assert_eq!(page.cache_control, "no-cache");
        }
    }

    #[test]
    fn what_is_named_by_its_content_is_kept_for_ever() {
        assert!(at("/assets/phone-4f2a.js").unwrap().cache_control.contains("immutable"));
        assert_eq!(at("/favicon.svg").unwrap().cache_control, "no-cache");
    }

    #[test]
    fn only_what_is_there_has_a_route() {
        for path in ["/", "/phone/x", "/assets", "/assets/", "phone"] {
            assert_eq!(at(path), None, "{path}");
        }
        assert!(routes().has_routes(), "a gateway without pages says so");
    }
}
