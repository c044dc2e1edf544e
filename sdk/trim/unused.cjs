'use strict';
// Stands in for the classes of JsSIP that the SDK never makes.
module.exports = class {};
