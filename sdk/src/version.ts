/** The package's version, sent to the gateway in User-Agent. */
export const VERSION = '0.1.0';
