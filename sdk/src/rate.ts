/** What the running call costs, as the gateway said when it was answered. */
export class Rate {
  /** Price of {@link perSeconds}, in minor units (1 KES = 100); may have decimals. */
  readonly amountMinor: number;
  readonly perSeconds: number;
  /** Talk is paid in steps of this many seconds. */
  readonly incrementSeconds: number;
  readonly currency: string;

  private constructor(amount: number, per: number, increment: number, currency: string) {
    this.amountMinor = amount;
    this.perSeconds = per;
    this.incrementSeconds = increment;
    this.currency = currency;
  }

  /** Reads `300;per=60;increment=1;currency=KES`; undefined where that is no rate. */
  static parse(header: string | undefined): Rate | undefined {
    const [amount, ...parameters] = (header ?? '').split(';').map((part) => part.trim());
    const values = new Map<string, string>();
    for (const part of parameters) {
      const [name = '', value = ''] = part.split('=', 2);
      values.set(name, value);
    }
    const price = Number.parseFloat(amount ?? '');
    const per = Number.parseInt(values.get('per') ?? '60', 10);
    const increment = Number.parseInt(values.get('increment') ?? '1', 10);
    if (!(price >= 0) || !(per > 0) || !(increment > 0)) {
      return undefined;
    }
    return new Rate(price, per, increment, values.get('currency') ?? 'KES');
  }

  /** The cost of so many seconds in minor units. For display: the wallet's entry is what counts. */
  cost(seconds: number): number {
    const paid = Math.ceil(seconds / this.incrementSeconds) * this.incrementSeconds;
    return Math.floor((paid * this.amountMinor) / this.perSeconds + 0.5);
  }
}
