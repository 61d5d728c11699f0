//! From a query to an answer or the decision to ask elsewhere. Pure.

use super::cache::{Answer, Key};
use super::records::View;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Time to live of pushed records: they change with containers.
const LOCAL_TTL: u32 = 5;
/// Payload we offer and accept (the size that crosses every network in one piece).
pub const PAYLOAD: u16 = 1232;
/// Payload of a client that says nothing.
const PLAIN_PAYLOAD: u16 = 512;

/// What to do with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Answer with this.
    Reply(Answer),
    /// Ask an upstream server.
    Forward(Key),
}

/// A query that makes sense, or the code that says why not; None for something that is no query and
/// gets no answer.
pub fn check(message: &Message) -> Option<Result<&Query, ResponseCode>> {
    if message.metadata.message_type != MessageType::Query {
        return None;
    }
    let checked = match (&message.queries[..], message.metadata.op_code) {
        (_, op) if op != OpCode::Query => Err(ResponseCode::NotImp),
        ([query], _) if query.query_class() == DNSClass::IN => Ok(query),
        ([_], _) => Err(ResponseCode::Refused),
        _ => Err(ResponseCode::FormErr),
    };
    let version = message.edns.as_ref().map_or(0, Edns::version);
    Some(if version == 0 {
        checked
    } else {
        Err(ResponseCode::BADVERS)
    })
}

/// Decides about a query from a client that sees `view`; None: a stranger.
pub fn decide(message: &Message, query: &Query, view: Option<&View<'_>>) -> Decision {
    let Some(view) = view else {
        return Decision::Reply(Answer::empty(ResponseCode::Refused));
    };
    if let Some(answer) = well_known(query).or_else(|| local(query, view)) {
        return Decision::Reply(answer);
    }
    if !view.forward || matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR) {
        return Decision::Reply(Answer::empty(ResponseCode::Refused));
    }
    Decision::Forward(Key {
        name: query.name().to_lowercase(),
        kind: query.query_type(),
        dnssec: wants_signatures(message),
        checking_disabled: message.metadata.checking_disabled,
    })
}

/// `localhost` never leaves the machine (RFC 6761).
fn well_known(query: &Query) -> Option<Answer> {
    let labels: Vec<_> = query.name().iter().collect();
    let last = labels.last()?;
    if !last.eq_ignore_ascii_case(b"localhost") {
        return None;
    }
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    Some(addresses_answer(query, &addresses))
}

/// Pushed records: their names exist, whatever type is asked for.
fn local(query: &Query, view: &View<'_>) -> Option<Answer> {
    if let (RecordType::PTR, Ok(net)) = (query.query_type(), query.name().parse_arpa_name()) {
        return reverse(query, view, net.addr(), net.prefix_len() == net.max_prefix_len());
    }
    let addresses = view.addresses(&query.name().to_ascii())?;
    Some(addresses_answer(query, &addresses))
}

fn reverse(query: &Query, view: &View<'_>, address: IpAddr, whole: bool) -> Option<Answer> {
    if !whole || !view.owns(address) {
        return None;
    }
    let Some(name) = view.name_of(address).and_then(|name| Name::from_ascii(name + ".").ok()) else {
        return Some(Answer::empty(ResponseCode::NXDomain));
    };
    let record = Record::from_rdata(query.name().clone(), LOCAL_TTL, RData::PTR(PTR(name)));
    Some(Answer {
        answers: vec![record],
        ..Answer::empty(ResponseCode::NoError)
    })
}

fn addresses_answer(query: &Query, addresses: &[IpAddr]) -> Answer {
    let data = addresses
        .iter()
        .filter_map(|address| match (address, query.query_type()) {
            (IpAddr::V4(ip), RecordType::A | RecordType::ANY) => Some(RData::A(A(*ip))),
            (IpAddr::V6(ip), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(*ip))),
            _ => None,
        });
    let answers = data
        .map(|data| Record::from_rdata(query.name().clone(), LOCAL_TTL, data))
        .collect();
    Answer {
        answers,
        ..Answer::empty(ResponseCode::NoError)
    }
}

fn wants_signatures(message: &Message) -> bool {
    message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok)
}

/// The response to `request`, encoded, at most `limit` bytes long (None: as long as it gets): longer
/// ones are emptied and marked so that the client asks again over TCP.
pub fn respond(request: &Message, answer: Answer, limit: Option<u16>) -> Option<Vec<u8>> {
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.checking_disabled = request.metadata.checking_disabled;
    response.metadata.recursion_available = true;
    response.metadata.authentic_data = answer.authentic;
    response.metadata.response_code = answer.code;
    response.queries = request.queries.clone();
    response.answers = answer.answers;
    response.authorities = answer.authorities;
    response.additionals = answer.additionals;
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD).set_dnssec_ok(wants_signatures(request));
        edns.set_rcode_high(answer.code.high());
        response.edns = Some(edns);
    }
    let bytes = response.to_vec().ok()?;
    match limit {
        Some(limit) if bytes.len() > usize::from(limit) => response.truncate().to_vec().ok(),
        _ => Some(bytes),
    }
}

/// Longest datagram the client takes.
pub fn datagram_limit(request: &Message) -> u16 {
    request
        .edns
        .as_ref()
        .map_or(PLAIN_PAYLOAD, |edns| edns.max_payload().clamp(PLAIN_PAYLOAD, PAYLOAD))
}

/// The query an upstream server is asked.
pub fn upstream_query(key: &Key, id: u16, with_edns: bool) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = key.checking_disabled;
    // Asks to be told whether signatures were checked (RFC 6840 section 5.7).
    message.metadata.authentic_data = true;
    message.add_query(Query::query(key.name.clone(), key.kind));
    if with_edns {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD).set_dnssec_ok(key.dnssec);
        message.edns = Some(edns);
    }
    message.to_vec().ok()
}

/// What an upstream server's datagram means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An answer.
    Answer(Answer),
    /// Not to our question: somebody guesses; keep waiting.
    Foreign,
    /// Too long for a datagram: ask over TCP.
    Truncated,
    /// The server does not understand EDNS.
    NoEdns,
    /// The server cannot help; another may.
    Unable,
}

/// Judges a server's message to our question.
pub fn judge(bytes: &[u8], key: &Key, id: u16, with_edns: bool) -> Verdict {
    let Ok(message) = Message::from_vec(bytes) else {
        return Verdict::Foreign;
    };
    let ours = message.metadata.message_type == MessageType::Response && message.metadata.id == id;
    let asked = |query: &Query| query.query_type() == key.kind && query.name().to_lowercase() == key.name;
    let code = message.metadata.response_code;
    match (&message.queries[..], code) {
        _ if !ours => Verdict::Foreign,
        ([], ResponseCode::FormErr | ResponseCode::NotImp) if with_edns => Verdict::NoEdns,
        ([query], _) if !asked(query) => Verdict::Foreign,
        ([_], _) if message.metadata.truncation => Verdict::Truncated,
        ([_], ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS) if with_edns => Verdict::NoEdns,
        ([_], ResponseCode::NoError | ResponseCode::NXDomain) => Verdict::Answer(Answer::from_message(message)),
        ([_], _) => Verdict::Unable,
        _ => Verdict::Foreign,
    }
}

#[cfg(test)]
#[path = "answer_test.rs"]
mod tests;
