fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libhiredis_rs.so.1");
    println!("cargo::rerun-if-changed=include/hiredis");
    println!("cargo::rerun-if-changed=src/ffi/variadic.c");
    cc::Build::new()
        .file("src/ffi/variadic.c")
        .include("include")
        .flag("-fvisibility=hidden")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .compile("variadic");
}
