# Recipes of Keelson. `./just` installs what is missing and lists them; the logic lives in os-build and qemu-tests.

set positional-arguments

disk := env("KEELSON_IMAGE", env("KEELSON_CACHE") / "image") / "keelson.img"
programs := env("CARGO_TARGET_DIR") / "x86_64-unknown-linux-gnu" / "release"
os-build := programs / "os-build"

# List the recipes
[private]
default:
    @just --list --unsorted

# Build the image, boot it in QEMU through UEFI and run a container on it (--once, --secure, --image REF, --port HOST:GUEST)
boot *args: image
    @'{{os-build}}' boot --disk '{{disk}}' "$@"

# Run every suite in short form, or one in full: unit, boot, config, containers, operated, updates, reproducible
test *suite: image
    @KEELSON_DISK='{{disk}}' '{{programs}}/suites' "$@"

# Format, lint, unit tests and dependency policy
check: lint
    @cargo build --release --quiet --workspace --bins
    @'{{programs}}/suites' unit

# Format and lint, warnings as errors
lint:
    @cargo fmt --all --check
    @cargo clippy --quiet --workspace --all-targets -- -D warnings

# Compile the programs that the image is made of
programs:
    @cargo build --release --workspace --bins

# Build the disk image
image: programs
    @'{{os-build}}' image --programs '{{programs}}' --out '{{disk}}'

# Print what is on a disk, slot by slot
inspect path=disk: programs
    @'{{os-build}}' inspect '{{path}}'

# Run the fuzz targets under a fuzzer, SECONDS each (all targets, or one)
fuzz target="all" seconds="60":
    @cargo run --release --quiet -p keelson-fuzz -- '{{target}}' '{{seconds}}'

# Measure boot and memory of the image, as a table and as JSON
figures *args: image
    @KEELSON_DISK='{{disk}}' '{{programs}}/figures' "$@"

# Race against podman and docker: boot or engine (--json FILE, --picture FILE, --runs N), as root; or time answers to wrong documents: answers
bench race *args: image
    @KEELSON_DISK='{{disk}}' '{{programs}}/bench' "$@"
