/** A value of JSON. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** An object of JSON, such as `metadata`. */
export type JsonObject = { [key: string]: JsonValue };
