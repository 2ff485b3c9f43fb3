import type { Partial } from "../../types";

export interface Step {
  units: number;
  dropped: number;
  overall: number | null;
  conversion: number | null;
  median_seconds: number | null;
}

export interface Segment {
  value: string | null;
  rest: boolean;
  steps: Step[];
}

export interface Funnel {
  steps: Step[];
  segments: Segment[];
  without_unit: number;
  partial: Partial | null;
}

export interface AttemptPage {
  attempts: { unit: string; times: string[] }[];
  next: string | null;
  partial: Partial | null;
}
