//! Builds what cargo alone cannot: the name that the shared library carries, the
//! one C file, and, with the feature `check-headers`, two headers for `make abi`.
// The types are banned for what they do in the library, and this is not in it.
#![allow(clippy::disallowed_types)]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    soname();
    variadics();
    #[cfg(feature = "check-headers")]
    check_headers::write();
}

/// Names the shared library. A distribution may choose another name.
fn soname() {
    println!("cargo::rerun-if-env-changed=HIREDIS_RS_SONAME");
    let apple = env::var("CARGO_CFG_TARGET_VENDOR").is_ok_and(|vendor| vendor == "apple");
    let (option, default) = if apple {
        ("-install_name", "@rpath/libhiredis_rs.1.dylib")
    } else {
        ("-soname", "libhiredis_rs.so.1")
    };
    let name = env::var("HIREDIS_RS_SONAME").ok().filter(|name| !name.is_empty());
    println!("cargo::rustc-cdylib-link-arg=-Wl,{option},{}", name.as_deref().unwrap_or(default));
}

/// Compiles the bodies of the functions that take `...` or a `va_list`.
fn variadics() {
    const SOURCE: &str = "src/ffi/variadic.c";
    println!("cargo::rerun-if-changed={SOURCE}");
    for header in ["alloc.h", "async.h", "hiredis.h", "read.h", "sds.h"] {
        println!("cargo::rerun-if-changed=include/hiredis/{header}");
    }
    cc::Build::new()
        .file(SOURCE)
        .include("include")
        .std("gnu99")
        .opt_level(2)
        .flag("-fvisibility=hidden")
        .extra_warnings(true)
        .flag_if_supported("-Wpedantic")
        .flag_if_supported("-Wstrict-prototypes")
        .compile("hirs_variadic");
}

/// What Rust believes the C interface to be, written as C. ctests/headers/run
/// compiles it together with the public headers; nothing else uses it.
#[cfg(feature = "check-headers")]
mod check_headers {
    use std::path::PathBuf;
    use std::{env, fs};

    use cbindgen::{Builder, Config, ExportConfig, ItemType, Language, Style};

    const ABI: &str = "src/abi.rs";
    const FFI: &str = "src/ffi";
    const PREFIX: &str = "hirs_abi_";
    /// Structs that keep their names: those of the C library, and opaque ones.
    const TAGS: [&str; 4] = ["timeval", "sockaddr", "dict", "hirs_args"];

    pub(crate) fn write() {
        println!("cargo::rerun-if-env-changed=HIRS_CHECK_DIR");
        println!("cargo::rerun-if-changed={ABI}");
        println!("cargo::rerun-if-changed={FFI}");
        let dir = env::var_os("HIRS_CHECK_DIR").map_or_else(|| "target/check-headers".into(), PathBuf::from);
        // Cargo would not miss them if somebody removed them.
        println!("cargo::rerun-if-changed={}", dir.display());
        fs::create_dir_all(&dir).unwrap();
        let source = fs::read_to_string(ABI).unwrap();
        let structs: Vec<_> = names(&source, "struct").chain(names(&source, "union")).collect();
        let aliases: Vec<_> = names(&source, "type").collect();
        fs::write(dir.join("prototypes.h"), prototypes(&structs, &aliases)).unwrap();
        fs::write(dir.join("structs.h"), layouts(&structs)).unwrap();
    }

    /// The names of all items of one kind in abi.rs.
    fn names<'a>(source: &'a str, kind: &'static str) -> impl Iterator<Item = String> + 'a {
        source.lines().filter_map(move |line| {
            let item = line.strip_prefix("pub ").unwrap_or(line);
            let name = item.strip_prefix(kind)?.strip_prefix(' ')?;
            Some(name.split([' ', ';']).next()?.to_string())
        })
    }

    /// Every exported function, over the struct names of the public headers, so
    /// that a difference is a conflicting declaration. Callback types get the
    /// prefix: Rust's are pointers, the headers' are function types.
    fn prototypes(structs: &[String], aliases: &[String]) -> String {
        let mut config = config();
        config.export.item_types = vec![ItemType::Functions, ItemType::Typedefs];
        config.export.include = aliases.to_vec();
        for name in structs {
            config.export.rename.insert(name.clone(), name.clone());
        }
        config.header = Some("struct hirs_args;".into());
        // Rust wraps it in an UnsafeCell; C sees only where it is and how large.
        config.export.exclude.push("hiredisAllocFns".into());
        let builder = Builder::new().with_config(config).with_src(ABI);
        text(sources().into_iter().fold(builder, Builder::with_src))
    }

    /// Every struct of abi.rs under a name of its own, so that size, offset and
    /// type of its fields can be compared. Pointers to structs inside point to the
    /// public ones: only then can a pointer field have the same type on both sides.
    /// The callback types are those of prototypes.h, which must come first.
    fn layouts(structs: &[String]) -> String {
        let mut config = config();
        config.export.include = structs.to_vec();
        let mut text = text(Builder::new().with_config(config).with_src(ABI));
        for name in structs {
            for star in [" *", "*"] {
                text = text.replace(&format!("{PREFIX}{name}{star}"), &format!("{name}{star}"));
            }
        }
        text
    }

    /// The files that export functions. Of variadic.rs only the functions that C
    /// calls are seen: the exported ones come out of a macro and, being naked, have
    /// no signature. What they jump to is checked when variadic.c is compiled, where
    /// each body is declared `__typeof__(redisCommand) hirs_redisCommand`.
    fn sources() -> Vec<PathBuf> {
        let entries = fs::read_dir(FFI).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
            .filter(|path| !path.ends_with("mod.rs"))
            .collect();
        files.sort();
        files
    }

    fn config() -> Config {
        let tags = TAGS.iter().map(|name| (name.to_string(), format!("struct {name}")));
        Config {
            language: Language::C,
            style: Style::Type,
            no_includes: true,
            documentation: false,
            usize_is_size_t: true,
            export: ExportConfig {
                prefix: Some(PREFIX.into()),
                renaming_overrides_prefixing: true,
                rename: tags.collect(),
                exclude: vec!["dict".into()],
                ..ExportConfig::default()
            },
            ..Config::default()
        }
    }

    /// Runs cbindgen, for which `Option<redisPushFn>` is a struct that it does not
    /// know: an alias hides from it that this is a pointer that may be NULL.
    fn text(builder: Builder) -> String {
        let mut out = Vec::new();
        builder.generate().expect("cbindgen cannot read the sources").write(&mut out);
        let text = String::from_utf8(out).unwrap();
        let unknown = format!("typedef struct {PREFIX}Option_");
        let lines = text.lines().filter(|line| !line.starts_with(&unknown));
        let text: String = lines.map(|line| line.to_string() + "\n").collect();
        text.replace(&format!("{PREFIX}Option_"), PREFIX)
            .replace(&format!("{PREFIX}Option<"), "")
            .replace('>', "")
    }
}
