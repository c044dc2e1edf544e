/** What the gateway writes warnings in a call in. */
const WARNING = 'application/vnd.sautikit+json';

/** The seconds that the balance still pays for, where a message of the gateway's says so. */
export function balanceLow(contentType: string, body: string): number | undefined {
  if (contentType.split(';')[0]?.trim().toLowerCase() !== WARNING) {
    return undefined;
  }
  try {
    const told = JSON.parse(body) as { warning?: unknown; seconds_left?: unknown } | null;
    const seconds = told?.seconds_left;
    return told?.warning === 'balance_low' && typeof seconds === 'number' ? seconds : undefined;
  } catch {
    return undefined;
  }
}
