# Checks that each Rust file imports only from files above its own in the table of CONTRIBUTING.md.
# Input: CONTRIBUTING.md, then the files under src. Prints one line per breach.

# src/resp/read.rs is the module resp::read, src/resp/mod.rs is resp, src/lib.rs is the crate itself.
function module_of(file) {
    sub(/^src\//, "", file)
    sub(/\.rs$/, "", file)
    sub(/\/mod$/, "", file)
    gsub(/\//, "::", file)
    return file == "lib" ? "" : file
}

function parent(module) { return module ~ /::/ ? substr(module, 1, match(module, /::[^:]*$/) - 1) : "" }

function breach(message) {
    print file ": " message
    breaches++
}

# The longest beginning of a path that is a module of the table.
function known(path) {
    while (path != "" && !(path in row)) path = parent(path)
    return path
}

# A path as it stands in the source: crate::a::b, super::c, self::d.
function reference(path,    target) {
    target = module
    if (path ~ /^crate(::|$)/) target = ""
    else if (path !~ /^(self|super)(::|$)/) return
    while (path ~ /^super(::|$)/) {
        target = parent(target)
        sub(/^super(::)?/, "", path)
    }
    sub(/^(crate|self)(::)?/, "", path)
    target = known(target == "" || path == "" ? target path : target "::" path)
    if (target == "" || target == module || (module, target) in seen) return
    seen[module, target]
    if (target ~ /^ffi/ && module !~ /^ffi/) breach("imports from ffi, which nobody may: " target)
    else if (row[target] > row[module]) breach("imports " target ", which stands below it in the table")
}

# `a::{b, c::{d, e}}` is a::b, a::c::d, a::c::e.
function expand(before, tree,    i, c, depth, start) {
    i = index(tree, "{")
    if (i == 0) {
        reference(before tree)
        return
    }
    before = before substr(tree, 1, i - 1)
    tree = substr(tree, i + 1)
    sub(/}[^}]*$/, "", tree)
    depth = 0
    start = 1
    for (i = 1; i <= length(tree) + 1; i++) {
        c = i <= length(tree) ? substr(tree, i, 1) : ","
        if (c == "{") depth++
        if (c == "}") depth--
        if (c == "," && depth == 0) {
            if (i > start) expand(before, substr(tree, start, i - start))
            start = i + 1
        }
    }
}

function finish(    rest, tree) {
    if (file == "" || module == "") return
    if (!(module in row)) {
        breach("is not in the table of CONTRIBUTING.md")
        return
    }
    rest = text
    while (match(rest, /(^|[^A-Za-z0-9_])use [^;]*;/)) {
        tree = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        sub(/^.*use /, "", tree)
        gsub(/ as [A-Za-z_0-9]+|[ ;]/, "", tree)
        expand("", tree)
    }
    rest = text
    while (match(rest, /(crate|super)(::[A-Za-z_0-9]+)+/)) {
        tree = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        reference(tree)
    }
}

FNR == 1 {
    finish()
    file = FILENAME ~ /\.md$/ ? "" : FILENAME
    module = file == "" ? "" : module_of(file)
    text = ""
    tests = 0
}

file == "" {
    # | `src/abi.rs`, `src/x.rs` | what it is for |: files of one row may import one another
    if ($0 !~ /^\| `src\/.*\.rs`/) next
    rows++
    split($0, cells, "|")
    n = split(cells[2], names, ",")
    for (i = 1; i <= n; i++) {
        gsub(/[` ]/, "", names[i])
        row[module_of(names[i])] = rows
        if ((getline line < names[i]) < 0) {
            print "CONTRIBUTING.md: the table names " names[i] ", which is not there"
            breaches++
        }
        close(names[i])
    }
    next
}

# The tests of a module stand last, and may use what they like.
/^(pub\(crate\) )?mod tests / && test_only { tests = 1 }
{ test_only = /^#\[cfg\(test\)\]/ }
tests { next }
{
    sub(/\/\/.*/, "")
    text = text " " $0
}

END {
    finish()
    if (rows == 0) {
        print "CONTRIBUTING.md: no table of layers found"
        breaches++
    }
    exit breaches > 0
}
