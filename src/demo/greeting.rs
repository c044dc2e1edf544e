//! What the demo says when it is ready: the page, the key, and three lines to look behind it.

use sautikit_actors::Addresses;

use super::customer::Customer;

/// Prints it on standard output.
pub(super) fn greet(addresses: &Addresses, customer: &Customer) {
    let http = addresses.http;
    let key = customer.api_key().expose();
    let header = format!("-H 'Authorization: Bearer {key}'");
    println!(
        "\n\
         Sautikit Gateway demo is ready.\n\n  \
         Page       http://{http}/phone   (call +254722000001; 02 rings on, 03 is busy, 06 hangs up)\n  \
         Workspace  {}\n  \
         API key    {key}\n\n\
         After a call:\n\n  \
         curl -s {header} http://{http}/v1/calls\n  \
         curl -s {header} http://{http}/v1/wallet/ledger\n  \
         curl -s {header} http://{http}/v1/wallet\n\n\
         Metrics    http://{}/metrics\n\
         Ctrl-C ends it.\n",
        customer.workspace(),
        addresses.admin,
    );
}
