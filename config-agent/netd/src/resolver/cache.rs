//! Answers kept for the time their owners allow (RFC 2308 for negative ones, RFC 8767 for stale ones).
//! Pure.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Longest time an answer is kept, whatever its owner says.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Longest time an absence is kept.
const LONGEST_NEGATIVE: Duration = Duration::from_secs(900);
/// After its time an answer is kept so much longer, for when no server can be reached.
const STALE: Duration = Duration::from_secs(86_400);
/// Time to live of a stale answer.
const STALE_TTL: u32 = 30;
/// Answers kept; the oldest goes.
const MOST: usize = 2_000;

/// What an answer belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The name, in lower case.
    pub name: Name,
    /// Type.
    pub kind: RecordType,
    /// Signatures were asked for.
    pub dnssec: bool,
    /// The asker checks signatures itself.
    pub checking_disabled: bool,
}

/// An answer of a server, without the parts that belong to one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Outcome.
    pub code: ResponseCode,
    /// Records that answer.
    pub answers: Vec<Record>,
    /// Records about who said so.
    pub authorities: Vec<Record>,
    /// Further records.
    pub additionals: Vec<Record>,
    /// The server says that it checked signatures.
    pub authentic: bool,
}

impl Answer {
    /// An answer without records.
    pub const fn empty(code: ResponseCode) -> Self {
        Self {
            code,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            authentic: false,
        }
    }

    /// The part of a response worth keeping.
    pub fn from_message(message: Message) -> Self {
        Self {
            code: message.metadata.response_code,
            authentic: message.metadata.authentic_data,
            answers: message.answers,
            authorities: message.authorities,
            additionals: message.additionals,
        }
    }

    /// How long it may be kept; None: not at all.
    pub fn lifetime(&self) -> Option<Duration> {
        let negative = self.answers.is_empty();
        match self.code {
            ResponseCode::NoError if !negative => shortest(&self.answers).map(|time| time.min(LONGEST)),
            ResponseCode::NoError | ResponseCode::NXDomain => {
                negative_lifetime(&self.authorities).map(|time| time.min(LONGEST_NEGATIVE))
            }
            _ => None,
        }
        .filter(|time| !time.is_zero())
    }

    /// The same with times to live that have become shorter by `age`.
    fn aged(&self, age: Duration) -> Self {
        let age = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        self.with_ttl(|ttl| ttl.saturating_sub(age).max(1))
    }

    fn stale(&self) -> Self {
        self.with_ttl(|_| STALE_TTL)
    }

    fn with_ttl(&self, change: impl Fn(u32) -> u32) -> Self {
        let mut answer = self.clone();
        let sections = [&mut answer.answers, &mut answer.authorities, &mut answer.additionals];
        for record in sections.into_iter().flatten() {
            record.ttl = change(record.ttl);
        }
        answer
    }
}

fn shortest(records: &[Record]) -> Option<Duration> {
    records
        .iter()
        .map(|record| record.ttl)
        .min()
        .map(|ttl| Duration::from_secs(ttl.into()))
}

/// The smaller of the zone record's own time to live and what it says about absences.
fn negative_lifetime(authorities: &[Record]) -> Option<Duration> {
    authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(Duration::from_secs(record.ttl.min(soa.minimum).into())),
        _ => None,
    })
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    since: Instant,
    end: Instant,
    number: u64,
}

/// The answers.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<Key, Entry>,
    /// In the order they came; an entry that was replaced has another number here.
    order: VecDeque<(u64, Key)>,
    number: u64,
}

impl Cache {
    /// Keeps an answer as long as it allows.
    pub fn insert(&mut self, now: Instant, key: Key, answer: Answer) {
        let Some(lifetime) = answer.lifetime() else {
            return;
        };
        self.number += 1;
        let number = self.number;
        self.order.push_back((number, key.clone()));
        self.entries.insert(
            key,
            Entry {
                answer,
                since: now,
                end: now + lifetime,
                number,
            },
        );
        while self.entries.len() > MOST || self.order.len() > 2 * MOST {
            let Some((number, key)) = self.order.pop_front() else {
                break;
            };
            if self.entries.get(&key).is_some_and(|entry| entry.number == number) {
                self.entries.remove(&key);
            }
        }
    }

    /// An answer that still holds.
    pub fn fresh(&self, now: Instant, key: &Key) -> Option<Answer> {
        let entry = self.entries.get(key).filter(|entry| now < entry.end)?;
        Some(entry.answer.aged(now.saturating_duration_since(entry.since)))
    }

    /// The last answer that is known, for when there is no other.
    pub fn stale(&self, now: Instant, key: &Key) -> Option<Answer> {
        let entry = self.entries.get(key).filter(|entry| now < entry.end + STALE)?;
        Some(entry.answer.stale())
    }

    /// Forgets everything: the machine moved to another network.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    /// Number of answers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{A, SOA};
    use proptest::prelude::*;

    fn key(name: &str) -> Key {
        let name = Name::from_ascii(name).unwrap();
        Key {
            name,
            kind: RecordType::A,
            dnssec: false,
            checking_disabled: false,
        }
    }

    fn positive(ttls: &[u32]) -> Answer {
        let name = Name::from_ascii("a.example.").unwrap();
        let record = |ttl: &u32| Record::from_rdata(name.clone(), *ttl, RData::A(A::new(192, 0, 2, 1)));
        Answer {
            answers: ttls.iter().map(record).collect(),
            ..Answer::empty(ResponseCode::NoError)
        }
    }

    fn negative(code: ResponseCode, ttl: u32, minimum: u32) -> Answer {
        let name = Name::from_ascii("example.").unwrap();
        let soa = SOA::new(name.clone(), name.clone(), 1, 2, 3, 4, minimum);
        let record = Record::from_rdata(name, ttl, RData::SOA(soa));
        Answer {
            authorities: vec![record],
            ..Answer::empty(code)
        }
    }

    #[test]
    fn lifetimes() {
        let table = [
            (positive(&[300, 60]), Some(60)),
            (positive(&[1_000_000]), Some(86_400)),
            (positive(&[0]), None),
            (negative(ResponseCode::NXDomain, 600, 60), Some(60)),
            (negative(ResponseCode::NoError, 30, 60), Some(30)),
            (negative(ResponseCode::NXDomain, 9000, 9000), Some(900)),
            (Answer::empty(ResponseCode::NXDomain), None),
            (Answer::empty(ResponseCode::NoError), None),
            (negative(ResponseCode::ServFail, 600, 60), None),
            (
                Answer {
                    code: ResponseCode::Refused,
                    ..positive(&[60])
                },
                None,
            ),
        ];
        for (answer, seconds) in table {
            assert_eq!(answer.lifetime(), seconds.map(Duration::from_secs), "{answer:?}");
        }
    }

    #[test]
    fn answers_age_and_become_stale() {
        let (now, key) = (Instant::now(), key("a.example."));
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut cache = Cache::default();
        cache.insert(now, key.clone(), positive(&[300]));
        assert_eq!(cache.fresh(later(100), &key).unwrap().answers[0].ttl, 200);
        assert_eq!(cache.fresh(later(300), &key), None);
        assert_eq!(cache.stale(later(300), &key).unwrap().answers[0].ttl, STALE_TTL);
        assert_eq!(cache.stale(later(300 + 86_400), &key), None);
        let signed = Key { dnssec: true, ..key };
        assert_eq!(cache.stale(later(1), &signed), None);
    }

    #[test]
    fn the_oldest_goes_first() {
        let now = Instant::now();
        let mut cache = Cache::default();
        for number in 0..MOST + 10 {
            cache.insert(now, key(&format!("n{number}.example.")), positive(&[300]));
        }
        assert_eq!(cache.len(), MOST);
        assert!(cache.fresh(now, &key("n0.example.")).is_none());
        assert!(cache.fresh(now, &key(&format!("n{}.example.", MOST + 9))).is_some());
    }

    proptest! {
        #[test]
        fn the_cache_never_outgrows_its_bounds(names in prop::collection::vec(0u16..3000, 0..9000)) {
            let now = Instant::now();
            let mut cache = Cache::default();
            for name in names {
                cache.insert(now, key(&format!("n{name}.")), positive(&[300]));
            }
            prop_assert!(cache.len() <= MOST && cache.order.len() <= 2 * MOST);
        }
    }
}
