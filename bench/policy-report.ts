// What the policy suite measured, as rows and budgets. Pure.

/** Of one kind of change, from the store to the kernel's answer. */
export interface ChangeTimes {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Medians: in the kernel, and on all processors. */
  readonly kernelMs: number;
  readonly cpuMs: number;
}

/** In the IPv4 table. */
export interface PolicyCounts {
  readonly chains: number;
  /** Distinct ones that hold for this node's pods. */
  readonly sets: number;
  readonly rules: number;
  readonly elements: number;
}

/** What `policy-program.ts` prints. */
export interface PolicyTimes {
  readonly coldMs: number;
  readonly coldKernelMs: number;
  readonly coldCpuMs: number;
  readonly memoryMiB: number;
  readonly counts: PolicyCounts;
  readonly label: ChangeTimes;
  readonly move: ChangeTimes;
  readonly policy: ChangeTimes;
  readonly unpolicy: ChangeTimes;
  readonly namespace: ChangeTimes;
}
