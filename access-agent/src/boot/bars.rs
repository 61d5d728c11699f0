//! A timeline as text: a bar per span.

use super::timeline::{Phase, Span, Timeline};

/// Columns of the bars.
const WIDTH: u64 = 48;

/// For people.
#[must_use]
pub fn bars(timeline: &Timeline) -> String {
    let width = timeline
        .spans
        .iter()
        .map(|span| span.name.chars().count())
        .max()
        .unwrap_or(0);
    let lines: String = timeline
        .spans
        .iter()
        .map(|span| line(span, timeline.end(), width))
        .collect();
    format!("{}\n{}\n\n{lines}", headline(timeline), parts(timeline))
}

/// What the boot took.
#[must_use]
pub fn headline(timeline: &Timeline) -> String {
    let whole = match timeline.complete_us {
        Some(complete) => format!("complete {} after the {} started", seconds(complete), timeline.zero),
        None => "not complete".to_owned(),
    };
    format!("{} from slot {}: {whole}", timeline.version, timeline.slot)
}

/// Which part of it each phase took.
#[must_use]
pub fn parts(timeline: &Timeline) -> String {
    let phases = [
        ("firmware", Phase::Firmware),
        ("loader", Phase::Loader),
        ("kernel", Phase::Kernel),
        ("initramfs", Phase::Initramfs),
        ("services", Phase::Unit),
    ];
    let part = |(name, phase)| Some(format!("{name} {}", seconds(timeline.lasted(phase)?)));
    phases.into_iter().filter_map(part).collect::<Vec<_>>().join(", ")
}

fn line(span: &Span, whole: u64, width: usize) -> String {
    let column = |at: u64| at.saturating_mul(WIDTH) / whole;
    let end = span.end_us.unwrap_or(whole);
    let (from, to) = (column(span.start_us).min(WIDTH - 1), column(end));
    let blocks = to.saturating_sub(from).max(1);
    let mark = if span.end_us.is_some() { "█" } else { "░" };
    let repeat = |text: &str, count: u64| text.repeat(usize::try_from(count).unwrap_or(0));
    let bar = repeat(" ", from) + &repeat(mark, blocks);
    let took = span
        .end_us
        .map_or("not up".to_owned(), |end| seconds(end.saturating_sub(span.start_us)));
    let name = &span.name;
    let padding = repeat(" ", WIDTH.saturating_sub(from + blocks));
    format!(
        "{name:width$}  {:>9}  {took:>9}  {bar}{padding}",
        seconds(span.start_us)
    )
    .trim_end()
    .to_owned()
        + "\n"
}

/// `1.042 s`.
pub(super) fn seconds(microseconds: u64) -> String {
    format!("{}.{:03} s", microseconds / 1_000_000, microseconds / 1_000 % 1_000)
}
