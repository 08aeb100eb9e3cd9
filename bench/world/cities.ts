/**
 * Where the checks of the world bench come from (docs/performance/method.md, "The world").
 *
 * `centreMs` is the median round trip between the Azure region in or near the city and the one in Frankfurt, as Microsoft
 * publishes it ("Azure network round-trip latency statistics", learn.microsoft.com/azure/networking/azure-network-latency; the
 * values of 2025). They are round trips between data centres on one provider's network, so most players have longer ones.
 *
 * `millions` is the population of the urban agglomeration in 2020 (United Nations, World Urbanization Prospects 2018, file 12),
 * rounded.
 */
export interface City {
  readonly name: string;
  /** The round trip to Frankfurt in ms. */
  readonly centreMs: number;
  readonly millions: number;
}

/**
 * The round trip to the nearest edge, and to a central server in the same city: what the same table has for two regions in one
 * city (Canberra, 3 to 4 ms).
 */
export const SAME_CITY_MS = 3;

export const CITIES: readonly City[] = [
  { name: "Tokyo", centreMs: 219, millions: 37.4 },
  { name: "São Paulo", centreMs: 195, millions: 22.0 },
  { name: "Mexico City (Querétaro)", centreMs: 138, millions: 21.8 },
  { name: "Mumbai", centreMs: 117, millions: 20.4 },
  { name: "Osaka", centreMs: 222, millions: 19.2 },
  { name: "Paris", centreMs: 12, millions: 11.0 },
  { name: "Chennai", centreMs: 134, millions: 11.0 },
  { name: "Jakarta", centreMs: 170, millions: 10.8 },
  { name: "Seoul", centreMs: 217, millions: 10.0 },
  { name: "London", centreMs: 17, millions: 9.3 },
  { name: "Chicago", centreMs: 110, millions: 8.9 },
  { name: "Kuala Lumpur", centreMs: 161, millions: 8.0 },
  { name: "Hong Kong", centreMs: 187, millions: 7.5 },
  { name: "Pune", centreMs: 130, millions: 6.6 },
  { name: "Toronto", centreMs: 106, millions: 6.2 },
  { name: "Singapore", centreMs: 157, millions: 5.9 },
  { name: "Johannesburg", centreMs: 162, millions: 5.8 },
  { name: "Washington (Virginia)", centreMs: 94, millions: 5.3 },
  { name: "Melbourne", centreMs: 241, millions: 5.0 },
  { name: "Sydney", centreMs: 247, millions: 4.9 },
  { name: "Cape Town", centreMs: 146, millions: 4.6 },
  { name: "Phoenix", centreMs: 142, millions: 4.5 },
  { name: "Tel Aviv", centreMs: 57, millions: 4.2 },
  { name: "Berlin", centreMs: 10, millions: 3.6 },
  { name: "Busan", centreMs: 212, millions: 3.5 },
  { name: "Seattle (Quincy)", centreMs: 158, millions: 3.4 },
  { name: "San Francisco", centreMs: 159, millions: 3.3 },
  { name: "Milan", centreMs: 14, millions: 3.1 },
  { name: "Dubai", centreMs: 119, millions: 2.9 },
  { name: "San Antonio", centreMs: 119, millions: 2.3 },
  { name: "Warsaw", centreMs: 22, millions: 1.8 },
  { name: "Marseille", centreMs: 19, millions: 1.6 },
  { name: "Auckland", centreMs: 272, millions: 1.6 },
  { name: "Abu Dhabi", centreMs: 118, millions: 1.5 },
  { name: "Zurich", centreMs: 9, millions: 1.4 },
  { name: "Dublin", centreMs: 26, millions: 1.2 },
  { name: "Amsterdam", centreMs: 12, millions: 1.1 },
  { name: "Oslo", centreMs: 22, millions: 1.0 },
  { name: "Quebec City", centreMs: 109, millions: 0.8 },
  { name: "Frankfurt", centreMs: SAME_CITY_MS, millions: 0.8 },
];
