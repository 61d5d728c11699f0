//! Carries out a plan through netlink. A step that fails is logged and does not stop the others.

use super::plan::Plan;
use crate::explain::chain;
use keelson_netlink::{Error, LinkChange, RouteSocket};

/// Applies `plan` to the link with this index. Gives what the kernel refused, in words.
pub fn apply(socket: &mut RouteSocket, link: u32, plan: &Plan) -> Vec<String> {
    let mut outcomes = Vec::new();
    for address in &plan.remove_addresses {
        outcomes.push(absent_is_fine(socket.delete_address(address)));
    }
    if let Some(mtu) = plan.mtu {
        let change = LinkChange {
            mtu: Some(mtu),
            ..LinkChange::default()
        };
        outcomes.push(socket.change_link(link, &change));
    }
    outcomes.extend(plan.add_addresses.iter().map(|address| socket.add_address(address)));
    outcomes.extend(plan.add_routes.iter().map(|route| socket.add_route(route)));
    for route in &plan.remove_routes {
        outcomes.push(absent_is_fine(socket.delete_route(route)));
    }
    let failures = outcomes.into_iter().filter_map(Result::err);
    failures.map(|error| chain(&error)).collect()
}

/// Removing an address removes its routes too.
fn absent_is_fine(outcome: Result<(), Error>) -> Result<(), Error> {
    outcome.or_else(|error| if error.is_absent() { Ok(()) } else { Err(error) })
}
