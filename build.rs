//! Lists the files of `web/dist` for `src/web.rs` to embed. Where the pages are not built, the list
//! is empty and the gateway builds all the same.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package"));
    let dist = root.join("web/dist");
    let mut files = Vec::new();
    if dist.is_dir() {
        println!("cargo:rerun-if-changed={}", dist.display());
        collect(&dist, &dist, &mut files);
    } else {
        // Cargo takes a watched path that is missing for a change each time; its parent is there.
        println!("cargo:rerun-if-changed={}", root.join("web").display());
    }
    files.sort();
    // Copies are embedded: the pages may be built again between this script and the compiler.
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the output folder"));
    let mut list = String::from("&[\n");
    for (number, (name, path)) in files.into_iter().enumerate() {
        let copy = out.join(format!("page-{number}"));
        fs::copy(path, &copy).expect("a built page can be copied");
        let _infallible = writeln!(list, "    ({name:?}, include_bytes!({copy:?})),");
    }
    list.push(']');
    fs::write(out.join("pages.rs"), list).expect("the output folder can be written");
}

/// Adds the files below `folder`, each with its name from `dist` with slashes. Source maps stay
/// out: they are for whoever builds the pages, and larger than the pages.
fn collect(dist: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    let entries = fs::read_dir(folder).expect("the folder of the built pages can be read");
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(dist, &path, files);
        } else if path.extension().is_none_or(|end| end != "map") {
            let name = path.strip_prefix(dist).expect("it was found below dist");
            let name = name.to_string_lossy().replace('\\', "/");
            files.push((name, path));
        }
    }
}
