//! The drawing of sellers who share photos, as SVG that uses the page's colours, and the same as a table.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use maud::{Markup, html};

use super::parts::Picture;
use super::sellers::{closure_words, seller_address, strikes_in_words};
use crate::gallery::{Link, LinkGraph, LinkedSeller};
use crate::page::visible;

/// Room around the middle of a circle, for the circle and its label: to the sides, above, and below.
const ROOM: (f64, f64, f64) = (64.0, 16.0, 34.0);
/// Radii of the rings of sellers one and two links away.
const RINGS: [f64; 3] = [0.0, 120.0, 215.0];
/// Most characters of a seller's id in the drawing.
const LABEL: usize = 14;

/// The place of each seller of a graph: the first in the middle, the others on one ring per distance, near the sellers
/// they are linked with.
fn places(graph: &LinkGraph) -> BTreeMap<&str, (f64, f64)> {
    let mut angles: BTreeMap<&str, f64> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (distance, radius) in (0..).zip(RINGS) {
        let mut ring: Vec<(&str, f64)> = graph
            .sellers
            .iter()
            .filter(|seller| seller.distance == distance)
            .map(|seller| (&*seller.seller_id, linked_angle(graph, &seller.seller_id, &angles)))
            .collect();
        ring.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let count = f64::from(u32::try_from(ring.len()).unwrap_or(1).max(1));
        for (index, (seller, _)) in (0..).map(f64::from).zip(ring) {
            let angle = TAU * (index + 0.5) / count;
            angles.insert(seller, angle);
            places.insert(seller, (1.35 * radius * angle.cos(), radius * angle.sin()));
        }
    }
    places
}

/// Left, top, width and height of what is drawn.
fn bounds(places: &BTreeMap<&str, (f64, f64)>) -> [f64; 4] {
    let (sides, above, below) = ROOM;
    let all = |pick: fn(&(f64, f64)) -> f64| {
        let values = places.values().map(pick);
        (values.clone().fold(0.0, f64::min), values.fold(0.0, f64::max))
    };
    let ((left, right), (top, bottom)) = (all(|place| place.0), all(|place| place.1));
    [left - sides, top - above, right - left + 2.0 * sides, bottom - top + above + below].map(f64::round)
}

/// The angle of a linked seller that already has a place; 0 if there is none.
fn linked_angle(graph: &LinkGraph, seller: &str, angles: &BTreeMap<&str, f64>) -> f64 {
    let mut others = graph.links.iter().filter_map(|link| {
        let [one, two] = link.sellers.each_ref().map(String::as_str);
        if one == seller { Some(two) } else { (two == seller).then_some(one) }
    });
    let placed = others.find_map(|other| angles.get(other));
    placed.copied().unwrap_or(0.0)
}

pub(super) fn network(graph: &LinkGraph) -> Markup {
    let places = places(graph);
    let [left, top, width, height] = bounds(&places);
    html! {
        figure.graph.network {
            svg viewBox=(format!("{left} {top} {width} {height}")) width=(width) height=(height) role="group" aria-label="Sellers who used the same photos; the table below lists the same links" {
                @for link in &graph.links { (line(link, &places)) }
                @for seller in &graph.sellers { (node(seller, &places)) }
            }
        }
        div.scroll tabindex="0" role="region" aria-label="Sellers who used the same photos" {
            table {
                thead { tr { th scope="col" { "Sellers" } th scope="col" { "Shared photos" } th scope="col" { "Newest shared photo, with a check of each seller" } } }
                tbody { @for link in &graph.links { (link_row(link)) } }
            }
        }
    }
}

fn line(link: &Link, places: &BTreeMap<&str, (f64, f64)>) -> Markup {
    let [one, two] = link.sellers.each_ref().map(|seller| places.get(&**seller).copied().unwrap_or_default());
    // Logarithmic: one more photo shows among few, and hundreds do not fill the drawing.
    let width = 1.0 + f64::from(u32::try_from(link.photos).unwrap_or(u32::MAX)).log2().min(7.0);
    html! {
        line.axis x1=(one.0.round()) y1=(one.1.round()) x2=(two.0.round()) y2=(two.1.round()) stroke-width=(format!("{width:.1}")) {
            title { (visible(&link.sellers[0])) " and " (visible(&link.sellers[1])) ": " (photos(link.photos)) }
        }
    }
}

fn node(seller: &LinkedSeller, places: &BTreeMap<&str, (f64, f64)>) -> Markup {
    let (x, y) = places.get(&*seller.seller_id).copied().unwrap_or_default();
    let (x, y) = (x.round(), y.round());
    let class = match (seller.strikes, seller.distance) {
        (0, 0) => "s1",
        (0, _) => "s0",
        _ => "s2",
    };
    let name = visible(&seller.seller_id);
    let short: String = name.chars().take(LABEL).collect();
    html! {
        a href=(seller_address(&seller.seller_id)) aria-label=(told(seller, &name)) {
            circle class=(class) cx=(x) cy=(y) r="11" {}
            text x=(x) y=(y + 27.0) text-anchor="middle" { (short) }
        }
        @if seller.strikes > 0 { text.count x=(x) y=(y + 5.0) text-anchor="middle" aria-hidden="true" { (seller.strikes.min(99)) } }
    }
}

fn told(seller: &LinkedSeller, name: &str) -> String {
    let strikes = strikes_in_words(u64::from(seller.strikes));
    match seller.closure {
        Some(state) => format!("{name}, {strikes}, {}", closure_words(state)),
        None => format!("{name}, {strikes}"),
    }
}

fn photos(count: u64) -> String {
    if count == 1 { "1 photo".to_owned() } else { format!("{count} photos") }
}

fn link_row(link: &Link) -> Markup {
    let short: String = link.newest.photo.to_string().chars().take(12).collect();
    html! {
        tr {
            th scope="row" {
                @for (index, seller) in link.sellers.iter().enumerate() {
                    @if index > 0 { " and " }
                    a href=(seller_address(seller)) { (visible(seller)) }
                }
            }
            td { (link.photos) }
            td {
                p.path {
                    @if link.newest.stored { a href=(Picture::Photo(link.newest.photo).address(320)) { (short) } } @else { (short) }
                    ": "
                    @for (index, check) in link.newest.checks.iter().enumerate() { @if index > 0 { ", " } span { (check) } }
                }
            }
        }
    }
}
